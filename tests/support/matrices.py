"""A version matrix with every kind of square, made up: what `preflight matrix` writes, without an hour of installing."""

from __future__ import annotations

from collections.abc import Sequence

from preflight_ocr.harness.commands.matrix.records import Breach, CellRecord, Matrix, ModelRecord, Prediction

__all__ = ["make_matrix"]

RELEASES = ("4.46.3", "4.49.0", "4.51.3", "4.57.6", "5.0.0", "5.23.0")
PEFT = ("0.13.2", "0.15.2", "0.18.1", "0.21.2")

_BUFFER = Breach(
    code="FWD015",
    name="uninitialised_buffer",
    severity="BLOCKER",
    summary="vision_tower.rotary_pos_emb.inv_freq holds 0, 0, 0.00276 where its class computes 1, 0.75, 0.562: whoever "
    "loads the checkpoint gets what lay in memory.",
)
_LOST = Breach(
    code="SAV001",
    name="lost_adapter",
    severity="BLOCKER",
    summary="48 of 48 saved tensors find no place when the adapter is loaded again.",
)
_LABELS = Breach(
    code="LRN007",
    name="misaligned_loss",
    severity="MAJOR",
    summary="The loss is that of labels shifted twice: 5.1181 seen, 4.7750 expected.",
)
_SYMBOL = Breach(
    code="VER001",
    name="missing_symbol",
    severity="BLOCKER",
    summary="The model's own code imports 1 name that the installed transformers does not have: LlamaFlashAttention2.",
)
_WARM = Breach(
    code="CFG003",
    name="warmup_beyond_run",
    severity="MINOR",
    summary="Warm-up takes 100 of 60 steps.",
)


def make_matrix(
    models: Sequence[str] = (
        "DeepSeek-OCR", "dots.ocr", "Qwen2-VL", "Qwen2.5-VL", "Donut", "TrOCR", "PaliGemma", "GOT-OCR2", "Gemma 3",
        "Idefics3", "LLaVA-OneVision", "InternVL", "Florence-2", "Kosmos-2.5", "MiniCPM-OCR",
    ),
    *,
    releases: Sequence[str] = RELEASES,
    peft: Sequence[str] = PEFT,
    config: str = "miniatures",
) -> Matrix:  # fmt: skip
    """`models` through every pair of `releases` and `peft`: found, clear, absent, failed, unjudged and not built."""
    return Matrix(
        config=config,
        cells=tuple(_make_cell(release, version, models) for release in releases for version in peft),
    )


def _make_cell(release: str, peft: str, models: Sequence[str]) -> CellRecord:
    name = f"tf{release}-peft{peft}"
    if release.startswith("5.") and peft == "0.13.2":
        return CellRecord(
            cell=name,
            transformers=release,
            peft=peft,
            built=False,
            reason=f"peft {peft} imports HybridCache, which transformers {release} no longer has",
            seconds={"install": 6.2},
        )
    return CellRecord(
        cell=name,
        transformers=release,
        peft=peft,
        built=True,
        environment={
            "torch": "2.13.0",
            "transformers": release,
            "peft": peft,
            "accelerate": "1.15.0",
            "numpy": "2.4.6",
        },
        seconds={"install": 9.5 + len(peft), "run": 61.0 + len(models)},
        models=tuple(_make_record(index, model, release, peft) for index, model in enumerate(models)),
    )


def _make_record(index: int, model: str, release: str, peft: str) -> ModelRecord:
    """What a model comes to depends on its place in the list, so that each kind of square is there."""
    newest = release.startswith("5.")
    fits, breaches = Prediction(verdict="fits"), ()
    given = {"model": f"model_{index}", "shown": model, "kept": 78, "skipped": 5, "seconds": 3.5}
    if index % 7 == 0:
        old = release.startswith("4.46")
        missing = Prediction(
            verdict="fails",
            reason="transformers.models.llama.modeling_llama.LlamaFlashAttention2 is gone since 4.48.0",
            place="modeling_deepseekv2.py:37",
        )
        breaches = () if old else (_SYMBOL, _WARM)
        prediction, agrees = (fits, True) if old else (missing, True)
        ending = "clear" if old else "refused"
        return ModelRecord(
            **given, ending=ending, breaches=breaches, broken=len(breaches), prediction=prediction, agrees=agrees
        )
    if index % 7 == 1:
        breaches = (_BUFFER,) if newest else ()
        why = "FWD015 uninitialised_buffer is behaviour, and reading sees names and signatures." if newest else ""
        return ModelRecord(
            **given, ending="refused" if newest else "clear", breaches=breaches, broken=len(breaches), prediction=fits,
            agrees=not newest, explanation=why,
        )  # fmt: skip
    if index % 7 == 3 and release in ("4.46.3", "4.49.0"):
        gone = Prediction(verdict="fails", reason="transformers has no such class before 4.50.0", place="recipes.py:88")
        return ModelRecord(
            **given, ending="absent", reason=f"transformers {release} has no class for it", prediction=gone, agrees=True,
            is_without_class=True,
        )  # fmt: skip
    if index % 7 == 4:
        breaches = (_LABELS,) if release == "4.51.3" else ()
        return ModelRecord(
            **given, ending="refused" if breaches else "clear", breaches=breaches, broken=len(breaches), prediction=fits,
            agrees=not breaches, explanation="the releases do it by themselves, shown without a probe" if breaches else "",
        )  # fmt: skip
    if index % 7 == 5:
        breaches = (_LOST,) if peft == "0.21.2" and newest else (_WARM,) if peft == "0.13.2" else ()
        return ModelRecord(
            **given, ending="refused" if breaches[:1] == (_LOST,) else "clear", breaches=breaches, broken=len(breaches),
            prediction=Prediction(verdict="unknown", reason="it is not in the index"),
        )  # fmt: skip
    if index == 14:
        return ModelRecord(**given, ending="absent", reason="it needs torchvision, which is not installed")
    if index == 13 and newest:
        return ModelRecord(**given, ending="failed", reason="TypeError: 'NoneType' object is not iterable")
    if index == 6 and release == "4.57.6":
        return ModelRecord(**given, ending="unjudged", reason="nothing could be run: the child was killed for memory")
    return ModelRecord(**given, ending="clear", prediction=fits, agrees=True)
