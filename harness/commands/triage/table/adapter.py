"""Messages about the adapter, gradients, checkpoints and memory."""

from __future__ import annotations

from preflight_ocr.harness.commands.triage.recogniser import Cause, Groups, Recogniser
from preflight_ocr.harness.commands.triage.table import places


def _is_nothing_trainable(groups: Groups) -> bool:
    return not groups["trainable"].strip("0,._")


_EARLY = Cause(
    diagnosis="early_checkpointing",
    why="Re-entrant gradient checkpointing finds no input that requires a gradient, as the embeddings are frozen.",
    check="Switch checkpointing on after the adapter, with use_reentrant=False.",
)
_UNMATCHED = Cause(
    diagnosis="unmatched_targets",
    why="target_modules reach nothing in the language model, or nothing at all.",
    check="Print the names of the modules that got an adapter; bare suffixes must be those of this model.",
)
_FROZEN = Cause(
    diagnosis="frozen_adapter",
    why="The adapter is outside the graph of the loss, or it was loaded or set not to be trained.",
    check="List the parameters that require a gradient; PeftModel.from_pretrained trains on with is_trainable=True only.",
)
_LOST = Cause(
    diagnosis="lost_adapter",
    why="The adapter's saved names are not those of the model it is loaded onto, so that it stays as it was born.",
    check="Compare the keys in adapter_model.safetensors with the names of the model's modules.",
)

TABLE = (
    Recogniser(
        patterns=(r"element \d+ of tensors does not require grad",),
        causes=(_EARLY, _UNMATCHED, _FROZEN),
    ),
    Recogniser(
        patterns=(r"a leaf Variable that requires grad is being used in an in-place operation",),
        causes=(
            Cause(
                diagnosis="early_checkpointing",
                why="Something made the embeddings require a gradient (checkpointing before the adapter, or "
                "enable_input_require_grads), and the model writes image features into them in place.",
                check="Switch checkpointing on after get_peft_model, with use_reentrant=False.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"None of the inputs have requires_grad=True",),
        causes=(
            Cause(
                diagnosis="checkpointing_starves",
                why="Re-entrant checkpointing passes no gradient through a part whose inputs require none.",
                check="Set gradient_checkpointing_kwargs to use_reentrant: false.",
            ),
            _EARLY,
        ),
    ),
    Recogniser(
        patterns=(
            r"Target modules .* not found in the base model",
            r"No modules were targeted for adaptation",
            r"All modules were excluded\. This is likely unintended",
        ),
        causes=(_UNMATCHED,),
    ),
    Recogniser(
        patterns=(
            r"Target module [\s\S]{1,20000}? is not supported",
            r"Please specify `target_modules` (?:or `target_parameters`)?\s?in `peft_config`",
            r"No `target_modules` passed but also no `target_parameters` found",
        ),
        causes=(
            Cause(
                diagnosis="failing_adapter",
                why="PEFT cannot put an adapter on what target_modules names: a kind of module it does not know, or none.",
                check="Name projections of the language model in target_modules; all-linear and suffixes that are also the "
                "names of lists do not work with every model.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"(?i)\b(?:number of )?trainable (?:params|parameters)\s*[:=]\s*(?P<trainable>[\d,._]*\d)",
            r"^\s*(?P<trainable>\d[\d,.]*)\s+Trainable params",
        ),
        causes=(
            Cause(
                diagnosis="frozen_adapter",
                why="No parameter is trainable: the adapter was loaded for inference, or frozen after it was added.",
                check=_FROZEN.check,
                holds=_is_nothing_trainable,
            ),
            Cause(
                diagnosis="unmatched_targets",
                why="No parameter is trainable: no adapter was added.",
                check=_UNMATCHED.check,
                holds=_is_nothing_trainable,
            ),
        ),
    ),
    # --- saved and loaded again
    Recogniser(
        patterns=(r"(?:missing adapter keys|adapter keys MISSING)[\s\S]*base_model\.model\.(?:model\.)?base_model\.",),
        causes=(
            Cause(
                diagnosis="wrapped_before_adapter",
                why="The adapter was put around a wrapper, whose name stands in every saved key.",
                check="Add the adapter to the model itself, before any wrapper.",
            ),
            Cause(
                diagnosis="doubled_module",
                why="The wrapper holds the model under two names, and the adapter's keys are doubled.",
                check="Look whether two attributes of the wrapper are one and the same module.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"Found missing adapter keys while loading the checkpoint",
            r"adapter keys (?:MISSING|UNEXPECTED)",
            r"Loading adapter weights from .* led to (?:unexpected|missing) keys",
            r"lora_\S*\s*\|\s*(?:MISSING|UNEXPECTED)",
            r"Some weights of .*(?:not used|newly initialized)[^\n]*lora_",
        ),
        causes=(_LOST,),
    ),
    Recogniser(
        patterns=(
            r"Some weights of .* (?:are|were) newly initialized[^\n]*(?:lm_head|embed_tokens)",
            r"(?:lm_head|embed_tokens)\S*\s*\|\s*MISSING",
        ),
        causes=(
            Cause(
                diagnosis="adapted_tied_weights",
                why="A tied weight was left out when the merged model was saved, and is now random.",
                check="Look whether the checkpoint was merged with an adapter on lm_head or on the embeddings.",
            ),
            Cause(
                diagnosis="unregistered_auto_class",
                why="The model was loaded through a class with other parts than the checkpoint has.",
                check="Compare the class you load with auto_map and architectures in config.json.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"Some weights of .* (?:are|were) newly initialized",
            r"Some weights of the model checkpoint .* were not used when initializing",
        ),
        causes=(
            Cause(
                diagnosis="unregistered_auto_class",
                why="The model was loaded through a class with other parts than the checkpoint has; they are random now.",
                check="Compare the class you load with auto_map and architectures in config.json.",
                sure=False,
            ),
        ),
    ),
    Recogniser(
        patterns=(r"size mismatch for \S*lora_",),
        causes=(
            Cause(
                diagnosis="stale_checkpoint",
                why="The checkpoint that is resumed from holds an adapter of another shape.",
                check="Compare r and target_modules in its adapter_config.json with this run's, or use a new output_dir.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"size mismatch (?:for \S+|at resume)",),
        causes=(
            Cause(
                diagnosis="stale_checkpoint",
                why="The checkpoint that is loaded belongs to another model or to an adapter of another shape.",
                check="Look which directory is loaded, and compare its configuration with this run's.",
                sure=False,
            ),
        ),
    ),
    # --- memory
    Recogniser(
        patterns=(
            r"(?:CUDA|HIP|XPU|MPS backend) out of memory",
            r"CUDA error: out of memory",
            r"^(?:torch\.)?(?:cuda\.)?OutOfMemoryError\b",
        ),
        causes=(
            Cause(
                diagnosis="memory_over_budget",
                why="A training step needs more memory than the card has left.",
                check="Look which of image size, batch size, accumulation, dtype and checkpointing brings it under; that no "
                "other process sits on the card.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED",),
        causes=(
            Cause(
                diagnosis="memory_over_budget",
                why="A library could not get its working memory, as happens when the card is nearly full.",
                check="Look at the memory in use just before.",
                sure=False,
            ),
        ),
    ),
    # --- packed weights
    Recogniser(
        patterns=(r"^AssertionError\s*$",),
        within=r"fix_4bit_weight_quant_state_from_module[^\n]*weight\.shape\[1\] == 1\s*\Z|"
        r"in fix_4bit_weight_quant_state_from_module",
        bare=False,
        causes=(
            Cause(
                diagnosis="quantised_head",
                why="A 4-bit layer holds an ordinary weight: the output head was quantised and then tied to the embeddings, "
                "or its weight was replaced after loading.",
                check="Name the output head (lm_head) in llm_int8_skip_modules of the BitsAndBytesConfig.",
            ),
        ),
    ),
    # --- several ranks
    Recogniser(
        patterns=(r"Expected to mark a variable ready only once",),
        causes=(
            Cause(
                diagnosis="checkpointing_starves",
                why="Re-entrant checkpointing runs a part twice in backward, which DistributedDataParallel takes for a "
                "second use of its parameters.",
                check="Set gradient_checkpointing_kwargs to use_reentrant: false.",
                sure=False,
                prove="the same command with gradient_checkpointing_kwargs.use_reentrant: false: the exception is gone",
            ),
            Cause(
                diagnosis="doubled_module",
                why="One module is held under two names, so that its parameters take part twice in a step.",
                check="Look whether two attributes of a wrapper are one and the same module.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"Expected to have finished reduction in the prior iteration",
            r"Watchdog caught collective operation timeout",
        ),
        within=rf"{places.TRAINER}|distributed|{places.MODEL_CODE}|backward",
        causes=(
            Cause(
                diagnosis="mixed_batch",
                why="The ranks used different parameters, as when one of them saw a batch without any image.",
                check="Look whether a batch can be without images, and give such rows a blank page.",
                sure=False,
            ),
        ),
    ),
)
