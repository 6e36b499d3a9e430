"use strict";
// The table keeps its grid while squares are filtered: a column without a shown square goes, and so the window's frame is drawn anew.
(() => {
  const form = document.querySelector("form[data-filters]");
  const tables = [...document.querySelectorAll("table.matrix")];
  if (!form || !tables.length) return;

  const shows = (cell) => !cell.hidden && !cell.classList.contains("filtered-out");

  const trim = (table) => {
    const squares = [...table.querySelectorAll("td[data-item]")];
    const used = new Set(squares.filter((square) => !square.hidden).map((square) => square.dataset.column));
    for (const cell of table.querySelectorAll("[data-column]")) cell.classList.toggle("filtered-out", !used.has(cell.dataset.column));
    for (const release of table.querySelectorAll("[data-first]")) {
      let number = 0;
      for (let at = +release.dataset.first; at <= +release.dataset.last; at++) number += used.has(String(at));
      release.classList.toggle("filtered-out", number === 0);
      if (number) release.colSpan = number;
    }
    for (const row of table.tBodies[0].rows) {
      const cells = [...row.cells].filter((cell) => cell.matches("td") && shows(cell));
      cells.forEach((cell, at) => {
        const fits = (other) => other !== undefined && other.classList.contains("fits");
        cell.classList.toggle("first", fits(cell) && !fits(cells[at - 1]));
        cell.classList.toggle("last", fits(cell) && !fits(cells[at + 1]));
      });
    }
  };

  const trimAll = () => tables.forEach(trim);
  form.addEventListener("input", trimAll);
  form.addEventListener("reset", () => setTimeout(trimAll));
})();
