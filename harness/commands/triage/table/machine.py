"""Messages about the installed packages, the card and the training arguments."""

from __future__ import annotations

from preflight_ocr.harness.commands.triage.recogniser import Cause, Recogniser
from preflight_ocr.harness.commands.triage.table import places

TABLE = (
    Recogniser(
        patterns=(r"requires the following packages that were not found",),
        causes=(
            Cause(
                diagnosis="missing_requirement",
                why="The model's own code imports packages that are not installed.",
                check="Install the packages that are named.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"No module named '\w+[\w.]*'",),
        within=places.RAISED_IN_REMOTE_CODE,
        bare=False,
        causes=(
            Cause(
                diagnosis="missing_requirement",
                why="The model's own code imports a package that is not installed.",
                check="Install the package, or one of the name that it is distributed under.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"operator torchvision::\w+ does not exist",
            r"Couldn't load custom C\+\+ ops",
            r"partially initialized module 'torchvision' has no attribute",
            r"PyTorch and torchvision were compiled with different CUDA",
        ),
        causes=(
            Cause(
                diagnosis="mismatched_torchvision",
                why="torchvision was built for another torch than the one installed.",
                check="Install the pair that belongs together, from one index.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"no kernel image is available for execution on the device",
            r"with CUDA capability sm_\d+ is not compatible with the current PyTorch installation",
        ),
        causes=(
            Cause(
                diagnosis="missing_kernels",
                why="This build of torch has no kernels for the card.",
                check="Compare torch.cuda.get_arch_list() with torch.cuda.get_device_capability().",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"FlashAttention\d? ?(?:has been toggled on|only supports? )",
            r"flash_attn (?:seems to be not|is not) installed",
            r"does not support an attention implementation through torch",
            r"does not support Flash Attention \d",
            r"Could not find any flash attn implementation",
            r"FlashAttention\d? (?:is not available|requires)",
        ),
        causes=(
            Cause(
                diagnosis="unavailable_attention",
                why="The attention implementation asked for cannot work with this model, these packages, this card or this "
                "dtype.",
                check="Set attn_implementation to one that the model and the machine have, such as eager.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"load_best_model_at_end requires the saving steps to be a (?:round )?multiple of the evaluation",
            r"load_best_model_at_end requires the save and eval(?:uation)? strategy to match",
        ),
        causes=(
            Cause(
                diagnosis="misaligned_save_steps",
                why="The best checkpoint is to be loaded at the end, and not every evaluated step has one.",
                check="Make save_steps a multiple of eval_steps, with the same strategy for both.",
            ),
        ),
    ),
)
