"""A message with a picture, rendered with a template for text; near it, two templates and a collator that needs neither."""

from preflight_ocr.harness.facts import ChatTemplate, Raised, Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

CALL = Site(
    file="collate.py",
    line=21,
    code="text = tokenizer.apply_chat_template(messages, tokenize=False)",
    kind="",
    runs=None,
)
FOR_TEXT = ChatTemplate(place="tokenizer_config.json", sha256="1" * 64, walks_parts=False)
FOR_PARTS = ChatTemplate(place="chat_template.json", sha256="2" * 64, walks_parts=True)

HEALTHY = altered(RUN, {"tokenizer.chat_templates": (FOR_TEXT, FOR_PARTS)})
SICK = altered(
    HEALTHY,
    {
        "collator.owner": "collate:build",
        "collator.batch": Raised(type="TypeError", message='can only concatenate str (not "list") to str', site=CALL),
    },
)
