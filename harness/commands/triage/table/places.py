"""Where in a traceback something was raised: patterns for `Failure.stack`, one line for each frame, innermost last."""

from __future__ import annotations

MODEL_CODE = r"modeling_\w+\.py|transformers_modules[\\/]|[\\/]transformers[\\/]models[\\/]|deepencoder|vision_tower"
"""A model's own code, remote or shipped with transformers."""

REMOTE_CODE = (
    r"(?:transformers_modules[\\/]|"
    r"^(?!.*[\\/](?:site|dist)-packages[\\/]).*(?:modeling|configuration|processing)_\w+\.py)"
)
"""Code that came with a model."""

NO_REMOTE_CODE = rf"\A(?![\s\S]*{REMOTE_CODE})"

RAISED_IN_REMOTE_CODE = rf"{REMOTE_CODE}[^\n]*\Z"
"""The innermost frame is code that came with a model."""

RAISED_IN_OWN_CODE = (
    r"(?:\A|\n)(?![^\n]*(?:(?:site|dist)-packages|transformers_modules|[\\/]lib[\\/]python|"
    r"(?:modeling|configuration|processing)_\w+\.py))[^\n]+\Z"
)
"""The innermost frame is neither a library's nor a model's."""

IMAGE_ARGUMENT = r": .*\b(?:images?|pixel_values|grid_thw|image_\w+|images_\w+|patches|pixel_\w+)\b"
"""A line of code that names what a batch carries of its images."""

MODEL_READS_IMAGES = rf"(?:{MODEL_CODE})[^\n]*{IMAGE_ARGUMENT}[^\n]*(?:\n[^\n]*)?\Z"
"""A model's own line about its image arguments raised, or what it called directly did."""

WRAPPER = (
    r"^(?!.*(?:(?:site|dist)-packages|transformers_modules|modeling_\w+\.py|deepencoder))[^\n]*, in (?:\w+\.)*forward:"
)
"""A forward that belongs to neither a library nor a model: a wrapper."""

COLLATOR = r"in (?:\w+\.)*_?(?:collat\w*|__call__|torch_call|torch_default_data_collator)\b|collate_fn\("
LOADER = r"torch[\\/]utils[\\/]data|DataLoader|popen_spawn|popen_fork|multiprocessing[\\/]"
TRAINER = r"transformers[\\/]trainer|trl[\\/]trainer|in training_step|in compute_loss"
GENERATING = r"in (?:\w+\.)*(?:generate|_sample|_beam_search|prepare_inputs_for_generation)\b"
VISION = r"vision|visual|patch_embed|sam_model|image_encoder|deepencoder|vit\b"
