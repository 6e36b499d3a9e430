"use strict";
// Filters, copy buttons and printing. The page can be read without any of it: what only a script can serve is hidden until now.
//
// A form[data-filters] has controls with data-facet="NAME"; every [data-item] is shown while it fits all of them.
//   checkbox   of those ticked for a facet, one must be among the item's data-NAME (words); none ticked: all fit
//   select     the same with one word; the empty value fits all
//   search     data-facet="text": every word typed must stand in the item's text
// An item without data-NAME is not asked about that facet. [data-group] is hidden while it holds items and none is shown.
(() => {
  const items = [...document.querySelectorAll("[data-item]")];
  const texts = new Map(items.map((item) => [item, item.textContent.toLowerCase()]));

  const readWishes = (form) => {
    const wishes = new Map();
    for (const control of form.querySelectorAll("[data-facet]")) {
      const facet = control.dataset.facet;
      if (!wishes.has(facet)) wishes.set(facet, []);
      const words = wishes.get(facet);
      if (control.type === "checkbox") { if (control.checked) words.push(control.value); }
      else if (facet === "text") words.push(...control.value.toLowerCase().split(/\s+/).filter(Boolean));
      else if (control.value) words.push(control.value);
    }
    return wishes;
  };

  const fits = (item, wishes) => {
    for (const [facet, words] of wishes) {
      if (!words.length) continue;
      if (facet === "text") { if (!words.every((word) => texts.get(item).includes(word))) return false; continue; }
      const own = item.dataset[facet];
      if (own !== undefined && !own.split(/\s+/).some((word) => words.includes(word))) return false;
    }
    return true;
  };

  const apply = (form) => {
    const wishes = readWishes(form);
    const wished = [...wishes.values()].some((words) => words.length);
    let shown = 0;
    for (const item of items) { item.hidden = !fits(item, wishes); shown += !item.hidden; }
    for (const group of document.querySelectorAll("[data-group]")) {
      const held = [...group.querySelectorAll("[data-item]")];
      const none = held.length > 0 && held.every((item) => item.hidden);
      group.classList.toggle("filtered-out", none);
      if (wished && !none && held.some((item) => item.closest("details"))) {
        for (const fold of group.querySelectorAll("details[data-unfolds]")) fold.open = true;
      }
    }
    const count = form.querySelector("[data-count]");
    if (count) count.textContent = wished ? `${shown} of ${items.length} entries shown` : "";
  };

  for (const form of document.querySelectorAll("form[data-filters]")) {
    form.hidden = false;
    form.addEventListener("input", () => apply(form));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => apply(form)));
  }

  const copyText = async (text) => {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* a page from a file may have no clipboard */ }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };

  for (const button of document.querySelectorAll("button[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copyText(document.getElementById(button.dataset.copies).textContent);
      button.textContent = done ? "Copied" : "Select and copy by hand";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // A link to something folded away unfolds it.
  const unfold = () => {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  if (location.hash) unfold();

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const fold of folded) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of folded) fold.open = false; });
})();
