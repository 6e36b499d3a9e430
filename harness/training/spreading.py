"""A run of several processes: what Trainer needs to be told, what would make them wait for each other, what joins them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.launched import find_place

LOG = logging.getLogger("preflight_ocr.harness.training")


class SpreadError(UserError):
    """The processes of this run would not train one model together."""


def choose_defaults() -> dict[str, Any]:
    """TrainingArguments for one of several processes, where the file says nothing else; none for one that is alone."""
    if find_place().size == 1:
        return {}
    chosen: dict[str, Any] = {"log_on_each_node": False}
    if not _has_card():
        # Without it, accelerate 1.x sees no card, and lets each process train a model of its own.
        chosen["use_cpu"] = True
    return chosen


def _has_card() -> bool:
    found = getattr(torch, "accelerator", None)  # from torch 2.6 on
    if found is None:
        return torch.cuda.is_available()
    kind = found.current_accelerator() if found.is_available() else None
    return kind is not None and kind.type != "mps"


def refuse_lonely(settings: Any) -> None:
    """Raise SpreadError where transformers does not see the processes that were started together: each would train alone,
    and all would write the same files."""
    place = find_place()
    seen = settings.world_size
    if seen != place.size:
        raise SpreadError(
            f"{place.size} processes were started, and transformers sees {seen}; start them with torchrun or accelerate "
            f"launch, and see that each has a card of its own, or set training.use_cpu: true"
        )


def choose_device_map(asked: Any, *, quantised: bool) -> Any:
    """`device_map` for this process: of several, each has the whole model on its own card."""
    place = find_place()
    if place.size == 1 or asked is None or not isinstance(asked, str):
        return asked
    return {"": place.local_rank} if quantised else None


def is_split(trainer: Any) -> bool:
    """Whether each process has a part of the weights only: FSDP or ZeRO-3. Then generation needs all of them in step."""
    accelerator = getattr(trainer, "accelerator", None)
    if getattr(trainer, "is_fsdp_enabled", False):
        return True
    plugin = getattr(getattr(accelerator, "state", None), "deepspeed_plugin", None)
    return plugin is not None and getattr(plugin, "zero_stage", 0) == 3


def join_weights(trainer: Any) -> dict[str, torch.Tensor] | None:
    """The weights of the whole model, in the first process, where they are split; None where each process has them all.

    Every process has to call it.
    """
    if not is_split(trainer):
        return None
    joined: dict[str, torch.Tensor] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return joined


def warn_unsplit(trainer: Any) -> None:
    """Say where FSDP is asked for and does not come about: accelerate splits over cards only, and says nothing."""
    asked = getattr(getattr(trainer, "args", None), "fsdp", None)
    if asked and find_place().size > 1 and not is_split(trainer):
        LOG.warning("training.fsdp has no effect without cards: each process has the whole model, and DDP trains it")


def refuse_unsavable(trainer: Any) -> None:
    """Raise SpreadError where DeepSpeed would refuse, at the end of the run, to put the adapter's weights together."""
    plugin = getattr(getattr(getattr(trainer, "accelerator", None), "state", None), "deepspeed_plugin", None)
    if plugin is None or getattr(plugin, "zero_stage", 0) != 3:
        return
    zero = plugin.deepspeed_config.get("zero_optimization", {})
    if zero.get("stage3_gather_16bit_weights_on_model_save") is not True:
        raise SpreadError(
            "ZeRO-3 without zero_optimization.stage3_gather_16bit_weights_on_model_save: true cannot save an adapter at the "
            "end; set it in the DeepSpeed configuration"
        )


def refuse_waiting(trainer: Any, rows: Any) -> None:
    """Raise SpreadError where a batch of text alone would leave the other processes waiting for this one's gradients.

    DDP waits for every trained weight unless it looks for those that a batch leaves out, which is what Trainer has it do
    unless the file says otherwise. FSDP and ZeRO-3 join the weights of each layer in the forward itself, where nothing helps
    a process that never gets there.
    """
    if find_place().size == 1 or rows is None or not hasattr(trainer, "args"):
        return
    looks = trainer.args.ddp_find_unused_parameters is not False
    if (looks and not is_split(trainer)) or not has_both(rows):
        return
    if is_split(trainer):
        advice = "give each row a picture, or train with DDP (leave FSDP or ZeRO-3 out)"
    else:
        advice = "remove training.ddp_find_unused_parameters, or give each row a picture"
    raise SpreadError(
        f"some rows have a picture and some have none: a process whose batch has none never reaches the vision part, and "
        f"the others wait for it; {advice}"
    )


def has_both(rows: Any) -> bool:
    """Whether some rows have a picture and some have none. Opens no picture; knows nothing of rows for a user's collator."""
    seen = set()
    for number in range(len(rows)):
        row = rows[number]
        if not isinstance(row, dict) or "text" not in row:
            return False
        seen.add(row.get("image_path") is not None or row.get("page") is not None)
        if len(seen) == 2:
            return True
    return False


def agree_on_largest(number: int, device: Any) -> int:
    """The largest of what the processes give; every process has to call it at the same place."""
    if not is_joined():
        return number
    held = torch.tensor(number, device=device)
    torch.distributed.all_reduce(held, op=torch.distributed.ReduceOp.MAX)
    return int(held)


def leave() -> None:
    """Leave torch's group, where there is one: a card's is not left behind in order by the end of the process alone."""
    if is_joined():
        torch.distributed.destroy_process_group()


def exchange(found: Any) -> list[Any]:
    """What each process gives, in the order of their ranks, to all of them; every process has to call it."""
    if not is_joined():
        return [found]
    everyone: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, found)
    return everyone


def is_joined() -> bool:
    """Whether this process is in a group of torch's, as Trainer makes it."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def deal(number: int, *, window: int, rank: int, size: int) -> list[range]:
    """Which of `number` rows this rank takes: whole windows in turn, so that each is read as one process would read it.

    Where there are fewer windows than ranks they are cut smaller, so that none stands idle.
    """
    width = max(1, min(window, -(-number // size)))
    if -(-number // width) < min(number, size):  # 9 rows for 8 ranks: in pairs, 3 ranks would have none
        width = max(1, number // size)
    starts: Sequence[int] = range(rank * width, number, size * width)
    return [range(start, min(start + width, number)) for start in starts]
