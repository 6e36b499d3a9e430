"""Messages about loading the model and calling its forward."""

from __future__ import annotations

from preflight_ocr.harness.commands.triage.recogniser import Cause, Recogniser
from preflight_ocr.harness.commands.triage.table import places

WINDOW = "preflight window CONFIG"

_IMAGE_KEYS = r"pixel_\w+|images?|image_\w+|images_\w+|video\w*|input_ids|attention_mask|labels"
_TASK_KEYS = r"decoder_input_ids|decoder_inputs_embeds|decoder_attention_mask|start_positions|end_positions"

_UNACCEPTED = Cause(
    diagnosis="unaccepted_batch_key",
    why="The batch has a key that is no parameter of the model's forward.",
    check="Hold the keys your collator returns against the signature of the bare model's forward.",
)
_TASK_TYPE = Cause(
    diagnosis="mismatched_task_type",
    why="PEFT's wrapper for this task type hands forward an argument that the model does not take.",
    check="Look at task_type in LoraConfig: a decoder-only model takes CAUSAL_LM.",
)
_FORWARDED = Cause(
    diagnosis="forwarded_loss_keyword",
    why="Trainer adds num_items_in_batch for a forward with **kwargs, and the wrapper hands it to a model without it.",
    check="Look at the wrapper's forward: it should take named arguments, or the model should be trained without it.",
)
_MISSING = Cause(
    diagnosis="missing_required_input",
    why="An image argument is absent from the batch or None, and the model indexes it without asking.",
    check="Print the keys of one batch and which of its values are None.",
)
_SWALLOWED = Cause(
    diagnosis="swallowed_inputs",
    why="A wrapper takes the image arguments and does not hand them on, so that the model sees None.",
    check="Read the forward of every module around the model: does it pass on every keyword it takes?",
    hint=places.WRAPPER,
)
_MALFORMED = Cause(
    diagnosis="malformed_images",
    why="The images are not nested as the model reads them, so that one of their parts is missing.",
    check="Print type, length and shapes of the image argument, level by level.",
)
_UNREGISTERED = Cause(
    diagnosis="unregistered_auto_class",
    why="The model is loaded through an Auto class that its repository does not register.",
    check="Compare the class you load with the keys of auto_map in the model's config.json.",
)
_OWN_NAME = Cause(
    diagnosis="removed_api",
    why="Your own code uses a name that the installed release does not have.",
    check="Look at the file and line of the last frame, and at what took the name's place.",
    proof=places.RAISED_IN_OWN_CODE,
)
_MODEL_NAME = Cause(
    diagnosis="missing_symbol",
    why="The model's own code was written for other releases than the installed ones and imports a name they lack.",
    check="Ask which releases the model's code can work with.",
    proof=places.RAISED_IN_REMOTE_CODE,
    prove=WINDOW,
)
_OWN_METHOD = Cause(
    diagnosis="removed_api",
    why="Your own code calls a method that the installed release does not have.",
    check="Look at the call, and at the method's new name.",
    proof=places.RAISED_IN_OWN_CODE,
)
_OLD_FORWARD = Cause(
    diagnosis="failing_forward",
    why="The model's own code was written for another release of transformers and fails inside forward.",
    check="Ask which releases the model's code can work with; no change to the batch can help.",
    prove=WINDOW,
)
_OLD_GENERATE = Cause(
    diagnosis="failing_generate",
    why="The model's own code was written for another release of transformers, and its generation fails with this one.",
    check="Ask which releases the model's code can work with; training may still run.",
    prove=WINDOW,
)
_HEADLESS = Cause(
    diagnosis="failing_adapter",
    why="The class that was loaded has no language-model head, and the task type CAUSAL_LM needs one that can generate.",
    check="Load the model through the class that `architectures` in its config.json names, and not through AutoModel.",
)
_OFFLOADED = Cause(
    diagnosis="offloaded_model",
    why="device_map left a part of the model without memory for its weights (on disk or on the CPU), and something moves "
    "the model as a whole.",
    check="Print model.hf_device_map: for training, give device_map one card, or leave it out.",
    prove="the same command without device_map: the exception is gone",
    outside=True,
)
_PARTITIONED = Cause(
    diagnosis="partitioned_recomputation",
    why="Under ZeRO-3 a parameter is gathered for forward alone, so that the checkpointed part is computed again with "
    "parameters of size 0.",
    check="Set gradient_checkpointing_kwargs to use_reentrant: true with ZeRO-3, or train with ZeRO-2.",
    holds=lambda groups: groups["size"] == "0",
    prove="the same command with gradient_checkpointing: false: the exception is gone",
    outside=True,
)

TABLE = (
    # --- keywords
    Recogniser(
        patterns=(rf"_?(?:batch_)?encode(?:_plus)?\(\) got an unexpected keyword argument '(?:{_IMAGE_KEYS})'",),
        causes=(
            Cause(
                diagnosis="tokenizer_as_processor",
                why="The processor is only a tokenizer for this model, and it was handed images.",
                check="Print type(processor): without a processor class the images must be prepared by the collator.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"unexpected keyword argument '?num_items_in_batch\b",),
        causes=(_FORWARDED,),
    ),
    Recogniser(
        patterns=(rf"unexpected keyword argument '(?:{_TASK_KEYS})'",),
        causes=(_TASK_TYPE,),
    ),
    Recogniser(
        patterns=(
            r"(?:TrainingArguments|Trainer|Config|Tokenizer\w*|TokenizersBackend|Processor)(?:\.\w+)?\(\) got an unexpected "
            r"keyword argument '\w+'",
            r"__init__\(\) got an unexpected keyword argument '(?:evaluation_strategy|tokenizer|logging_dir|no_cuda|"
            r"overwrite_output_dir|use_auth_token|torch_dtype|push_to_hub_token)'",
        ),
        causes=(
            Cause(
                diagnosis="removed_api",
                why="Your own code passes a keyword that the installed release has removed or renamed.",
                check="Look at the call in the last frame that is yours, and at the keyword's new name.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"forward\(\) got an unexpected keyword argument "
            r"'(?:inputs_embeds|output_attentions|output_hidden_states|return_dict|task_ids)'",
        ),
        causes=(_TASK_TYPE, _UNACCEPTED),
    ),
    Recogniser(
        patterns=(
            r"forward\(\) got an unexpected keyword argument '\w+'",
            rf"(?<!\) got an )unexpected keyword argument '(?:{_IMAGE_KEYS})'",
        ),
        causes=(_UNACCEPTED,),
    ),
    Recogniser(
        patterns=(r"^(?:TypeError: )?(?:got an )?unexpected keyword argument\W*$",),
        causes=(_UNACCEPTED, _TASK_TYPE, _FORWARDED),
    ),
    # --- loading
    Recogniser(
        patterns=(r"Unrecognized configuration class(?!.*to build an AutoTokenizer)",),
        causes=(_UNREGISTERED,),
    ),
    Recogniser(
        patterns=(r"does not recognize this architecture",),
        causes=(
            Cause(
                diagnosis="unloadable_model",
                why="The installed transformers does not know this model type: it is older than the model, or the model's "
                "own code was not allowed to run.",
                check="Look whether config.json has an auto_map (then trust_remote_code is needed) and which release "
                "brought the model type.",
                prove=WINDOW,
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"requires you to execute the \w+ file in that repo",
            r"contains custom code which must be executed to correctly load",
            r"Please pass the argument `trust_remote_code=True`",
        ),
        causes=(
            Cause(
                diagnosis="untrusted_remote_code",
                why="The model brings code of its own and was not allowed to run it.",
                check="Read that code, then set model.trust_remote_code: true.",
            ),
        ),
    ),
    # --- names that a release lacks
    Recogniser(
        patterns=(
            r"cannot import name 'Auto\w+For\w+' from 'transformers\b",
            r"module '?transformers'? has no attribute '?Auto\w+For\w+",
        ),
        causes=(
            Cause(
                diagnosis="unregistered_auto_class",
                why="This Auto class has left the library, and the model's repository registers other ones.",
                check="Load the model through a class that auto_map in its config.json names.",
            ),
            Cause(
                diagnosis="removed_api",
                why="Your own code imports an Auto class that the installed release does not have.",
                check="Look at the import, and at the class that took its place.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"cannot import name '\w+' from '(?:transformers|peft|accelerate)[.']",
            r"cannot import name '\w+' from partially initialized module '(?:transformers|peft|accelerate)[.']",
            r"^(?:ImportError: )?cannot import name '(?:Llama|Qwen|is_)\w+'$",
            r"No module named '(?:transformers|peft|accelerate)\.",
            r"module '(?:transformers|peft|accelerate)[\w.]*' has no attribute '\w+'",
        ),
        causes=(_MODEL_NAME, _OWN_NAME),
    ),
    Recogniser(
        patterns=(
            r"'?\w+Model'? (?:object )?has no attribute '?(?:prepare_inputs_for_generation|get_output_embeddings)\b",
        ),
        causes=(_HEADLESS,),
    ),
    Recogniser(
        patterns=(
            r"'?\w*(?:For\w+|Model|LM)'? (?:object )?has no attribute '?generate\b",
            r"'?\w*(?:For\w+|LM)'? (?:object )?has no attribute '?prepare_inputs_for_generation\b",
        ),
        causes=(_OLD_GENERATE,),
    ),
    # --- weights that are not there
    Recogniser(
        patterns=(r"Cannot copy out of meta tensor",),
        causes=(
            Cause(
                diagnosis="uninitialised_buffer",
                why="The model's own code computes a tensor when it is built, which this release of transformers builds "
                "without memory and never fills.",
                check="Ask which releases the model's code can work with.",
                proof=rf"{places.REMOTE_CODE}[^\n]*(?:\n(?![^\n]*{places.MODEL_CODE})[^\n]*)*\Z",
                prove=WINDOW,
            ),
            _OFFLOADED,
        ),
    ),
    Recogniser(
        patterns=(r"recomputed metadata:[^\n]*torch\.Size\(\[(?P<size>\d*)\]\)",),
        causes=(_PARTITIONED,),
    ),
    Recogniser(
        patterns=(r"'?DynamicCache'? (?:object )?has no attribute '(?:get_max_length|seen_tokens)'",),
        causes=(
            Cause(
                diagnosis="failing_generate",
                why=_OLD_GENERATE.why,
                check=_OLD_GENERATE.check,
                proof=places.RAISED_IN_REMOTE_CODE,
                prove=WINDOW,
            ),
            _OWN_METHOD,
        ),
    ),
    Recogniser(
        patterns=(r"'\w*Cache' (?:object )?has no attribute '\w+'",),
        causes=(
            Cause(
                diagnosis="failing_forward",
                why=_OLD_FORWARD.why,
                check=_OLD_FORWARD.check,
                proof=places.RAISED_IN_REMOTE_CODE,
                prove=WINDOW,
            ),
            _OWN_METHOD,
        ),
    ),
    Recogniser(
        patterns=(r"missing \d+ required positional arguments?: 'position_embeddings'",),
        causes=(_OLD_FORWARD,),
    ),
    Recogniser(
        patterns=(r"'\w+Config' object has no attribute '\w+'",),
        within=places.MODEL_CODE,
        causes=(
            Cause(
                diagnosis="unloadable_model",
                why="The model's own code reads a default that configurations of this release no longer have.",
                check="Ask which releases the model's code can work with.",
                hint=r"in (?:\w+\.)*__init__",
                prove=WINDOW,
            ),
            _OLD_FORWARD,
        ),
    ),
    Recogniser(
        patterns=(
            r"(?:Tokenizer\w*|TokenizersBackend)'? (?:object )?has no attribute '?(?:batch_encode_plus|encode_plus|"
            r"build_inputs_with_special_tokens|prepare_for_model|prepare_seq\dseq_batch|as_target_tokenizer)\b",
        ),
        causes=(
            Cause(
                diagnosis="removed_api",
                why="Your own code calls a method that the installed release does not have any more.",
                check="Look at the call, and at the method's new name.",
                proof=places.NO_REMOTE_CODE,
            ),
            Cause(
                diagnosis="failing_forward",
                why="The model's own code calls a method that the installed release does not have any more.",
                check="Ask which releases the model's code can work with.",
                proof=places.REMOTE_CODE,
                prove=WINDOW,
            ),
        ),
    ),
    # --- image arguments that are not there
    Recogniser(
        patterns=(r"'NoneType' object is not subscriptable",),
        within=places.MODEL_READS_IMAGES,
        causes=(_MISSING, _SWALLOWED, _MALFORMED),
    ),
    Recogniser(
        patterns=(r"'NoneType' object is not iterable",),
        within=places.MODEL_READS_IMAGES,
        causes=(_MISSING, _SWALLOWED),
    ),
    Recogniser(
        patterns=(r"'NoneType' object has no attribute '\w+'",),
        within=places.MODEL_READS_IMAGES,
        bare=False,
        causes=(_MISSING, _SWALLOWED),
    ),
    Recogniser(
        patterns=(r"list index out of range",),
        within=places.MODEL_READS_IMAGES,
        causes=(
            Cause(
                diagnosis="malformed_images",
                why="The list of images is empty or shorter than the batch, or a part of an entry is missing.",
                check="Print the length of the image argument beside the number of rows.",
            ),
            Cause(
                diagnosis="dropped_rows",
                why="The collator left rows out, so that one argument has fewer entries than another.",
                check="Count the rows that go into the collator and the rows that come out.",
            ),
            Cause(
                diagnosis="mixed_batch",
                why="A row without an image has no entry in the list of images.",
                check="Look whether the batch holds rows with and without an image.",
            ),
        ),
    ),
)
