"""Messages about the rows, their images, the collator and the processor."""

from __future__ import annotations

from preflight_ocr.harness.commands.triage.recogniser import Cause, Recogniser
from preflight_ocr.harness.commands.triage.table import places

_CODE_PAGE = r"'(?:charmap|ascii|latin-\d|iso\d+[-_]\d+|cp\d+|gbk|gb\d+|big\d|shift_jis|euc_\w+)' codec can't"

_MODE = Cause(
    diagnosis="unusual_image_mode",
    why="An image is not plain RGB: palette, grey, transparent, CMYK or 16-bit.",
    check="Print the mode of the image files, and convert each on a white ground.",
)
_TOKENIZER = Cause(
    diagnosis="tokenizer_as_processor",
    why="AutoProcessor returned a tokenizer for this model, and it was handed an image.",
    check="Print type(processor): without a processor class the images must be prepared by the collator.",
)
_SIDE_EFFECT = Cause(
    diagnosis="unregistered_processor",
    why="The model's processor is registered only when its configuration is imported, and AutoProcessor came first.",
    check="Load AutoConfig or the model first, then AutoProcessor, and print its type.",
)

TABLE = (
    # --- lengths
    Recogniser(
        patterns=(r"Unable to create tensor, you should probably activate truncation and/or padding",),
        causes=(
            Cause(
                diagnosis="failing_collator",
                why="The collator stacks rows of different lengths: the tokenizer pads its own keys alone, labels are not "
                "among them.",
                check="Use a collator that pads labels with -100 (DataCollatorForSeq2Seq), or pad them to the longest row.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"The shape of the mask \[\d+(?:, \d+)?\] at index \d does not match the shape of the indexed tensor",
            r"The size of tensor a \(\d+\) must match the size of tensor b \(\d+\) at non-singleton dimension \d",
            r"Attention mask should be of size \(",
        ),
        within=r"attention_mask|causal_mask|attn_mask|attn_weights|sdpa|eager_attention",
        bare=False,
        causes=(
            Cause(
                diagnosis="failing_batch",
                why="attention_mask has another length than input_ids: one of them was cut, padded or extended without the "
                "other.",
                check="Print the shapes of input_ids, attention_mask and labels of one batch side by side.",
                proof=r"attention_mask|causal_mask|attn_mask|attn_weights|sdpa|eager_attention",
            ),
        ),
    ),
    # --- processors and templates
    Recogniser(
        patterns=(
            r"You need to specify either `text` or `text_target`",
            r"Keyword arguments \{[^}]*'(?:images|pixel_values)'[^}]*\} not recognized",
        ),
        causes=(_TOKENIZER,),
    ),
    Recogniser(
        patterns=(
            r"(?:Tokenizer\w*|TokenizersBackend)'? (?:object )?has no attribute '?(?:image\w*|video\w*|tokenizer)\b",
            r"Unrecognized processing class in",
        ),
        causes=(_TOKENIZER, _SIDE_EFFECT),
    ),
    Recogniser(
        patterns=(
            r"Received a NoneType for argument video_processor",
            r"Unrecognized video processor in",
        ),
        causes=(
            Cause(
                diagnosis="missing_video_processor",
                why="The model's processor class inherits a slot for a video processor that its repository does not fill in "
                "this release of transformers.",
                check="Ask which releases the processor can work with, or narrow its attributes.",
                prove="preflight window CONFIG",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"can only concatenate str \(not \"list\"\) to str",),
        within=r"<template>|jinja|chat_template",
        causes=(
            Cause(
                diagnosis="conflicting_chat_templates",
                why="The chat template that was used takes text content only and was given a list: the tokenizer's template "
                "in place of the processor's.",
                check="Call apply_chat_template of the processor, or compare chat_template in tokenizer_config.json with "
                "chat_template.json.",
                proof=r"<template>|jinja|chat_template",
            ),
        ),
    ),
    # --- ids
    Recogniser(
        patterns=(
            r"index out of range in self",
            r"^(?:IndexError: )?index out of range(?: / device-side assert)?$",
            r"srcIndex < srcSelectDimSize",
            r"indexSelect\w*Index",
        ),
        within=r"embed|wte|F\.embedding|functional\.py",
        causes=(
            Cause(
                diagnosis="token_id_out_of_range",
                why="A token id has no row in the embedding matrix.",
                check="Compare the highest id in input_ids with the embedding's rows; resize after adding tokens.",
                proof=r"embed_tokens|\bwte\b|inputs_embeds\s*=|word_embeddings|input_ids",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"device-side assert",),
        causes=(
            Cause(
                diagnosis="token_id_out_of_range",
                why="An index is past the end of a table on the card, mostly a token id without an embedding.",
                check="Run one batch on the CPU, where the message names the line.",
                sure=False,
            ),
        ),
    ),
    # --- the collator
    Recogniser(
        patterns=(r"No columns in the dataset match the model's forward method signature",),
        causes=(
            Cause(
                diagnosis="removed_columns",
                why="Trainer removes every column that forward does not name, and none is left.",
                check="Set remove_unused_columns: false, as the collator opens the images itself.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"don't have a corresponding argument in .*forward.* and have been ignored",),
        causes=(
            Cause(
                diagnosis="removed_columns",
                why="Trainer removes columns before the collator can read them.",
                check="Look whether the collator needs one of the columns named, and set remove_unused_columns: false.",
                sure=False,
            ),
        ),
    ),
    Recogniser(
        patterns=(r"\AKeyError: \S+",),
        kinds=("KeyError",),
        within=rf"(?:{places.LOADER}|{places.TRAINER})[\s\S]*(?:{places.COLLATOR})",
        bare=False,
        causes=(
            Cause(
                diagnosis="removed_columns",
                why="Trainer removed the column before the collator could read it.",
                check="Print the keys of the first row inside the collator, and set remove_unused_columns: false.",
            ),
            Cause(
                diagnosis="failing_collator",
                why="The rows have no such column.",
                check="Print the keys of the first row inside the collator.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"stack expects each tensor to be equal size",),
        within=places.COLLATOR,
        causes=(
            Cause(
                diagnosis="failing_collator",
                why="Rows of different sizes are stacked without padding.",
                check="Pad texts to the longest of the batch, and keep images of different sizes in a list.",
                proof=places.COLLATOR,
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"Can't (?:pickle|get) local object",
            r"Can't pickle <(?:function|class) ",
            r"cannot pickle '\w[\w.]*' object",
        ),
        within=places.LOADER,
        causes=(
            Cause(
                diagnosis="unpicklable_collator",
                why="What is sent to the data loader's workers cannot be pickled: a lambda, a local function, an object "
                "with a lock or a file.",
                check="Define the collator at the top level of a module; look at the data set as well.",
                proof=places.LOADER,
            ),
        ),
    ),
    # --- image files
    Recogniser(
        patterns=(
            r"cannot identify image file",
            r"image file is truncated",
            r"broken data stream when reading image file",
            r"unrecognized data stream contents when reading image file",
            r"Truncated File Read",
        ),
        causes=(
            Cause(
                diagnosis="unreadable_image",
                why="An image file is truncated, damaged or no image.",
                check="Open every file of the data set once before training.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"could be decompression bomb",),
        causes=(
            Cause(
                diagnosis="enormous_image",
                why="An image has more pixels than can be decoded safely.",
                check="List the sizes of the image files, and scale the largest down on disk.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"No such file or directory: '[^'\n]+\.(?i:png|jpe?g|tiff?|webp|bmp|gif|jp\d)'",),
        causes=(
            Cause(
                diagnosis="missing_image_file",
                why="A row names an image file that does not exist.",
                check="Compare the row's path with the directory; relative paths count from the data directory.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"Unable to infer channel dimension format",
            r"mean must have \d+ elements if it is an iterable, got \d+",
            r"cannot write mode \S+ as (?:JPEG|PNG)",
            r"Unsupported number of image dimensions",
        ),
        causes=(_MODE,),
    ),
    Recogniser(
        patterns=(rf"{_CODE_PAGE} encode", r"^UnicodeEncodeError:?$"),
        causes=(
            Cause(
                diagnosis="legacy_encoding",
                why="A text with other letters than the code page has is written to a file or console opened in that page.",
                check='Open files with encoding="utf-8", and reconfigure standard output.',
            ),
        ),
    ),
    Recogniser(
        patterns=(rf"{_CODE_PAGE} decode",),
        causes=(
            Cause(
                diagnosis="legacy_encoding",
                why="A UTF-8 file is read in a legacy code page.",
                check='Open the file with encoding="utf-8".',
                sure=False,
            ),
        ),
    ),
    Recogniser(
        patterns=(r"right-padding was detected",),
        causes=(
            Cause(
                diagnosis="right_padded_generation",
                why="Prompts are padded on the right for a decoder-only model, which goes on writing after the padding.",
                check="Set the tokenizer's padding_side to left for generation.",
            ),
        ),
    ),
)
