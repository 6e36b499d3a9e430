"""The catalogue: every diagnosis, in the order of its code.

One defect per file. The file's docstring is its documentation; `NAMES` lists the files, and a test compares it with the
folder. The files are imported when they are first asked for, so that the front stays light.
"""

from __future__ import annotations

import importlib
from functools import cache

from preflight_ocr.harness.judging.header import DiagnosisModule, check_module

NAMES = (
    # ENV
    "missing_kernels", "legacy_encoding", "mismatched_torchvision", "missing_requirement", "unusable_card",
    "uninstalled_package",
    # CFG
    "unknown_key", "ineffective_key", "warmup_beyond_run", "misaligned_save_steps", "removed_columns",
    "unavailable_attention", "untrusted_remote_code", "unreadable_file", "refused_value",
    # DAT
    "missing_image_file", "unreadable_image", "enormous_image", "exif_rotated_image", "unusual_image_mode",
    "empty_text", "leaked_rows", "image_token_in_text", "truncated_text", "malformed_row", "two_spellings",
    "boxes_of_another_size",
    # FWD
    "unaccepted_batch_key", "missing_required_input", "swallowed_inputs", "doubled_module", "unloadable_model",
    "failing_forward", "unheard_text", "unseen_image", "leaking_image", "failing_batch", "forwarded_loss_keyword",
    "swallowed_key", "altering_wrapper", "padding_changes_row", "uninitialised_buffer", "failing_generate",
    "departing_cache", "headless_model", "positions_beyond_limit",
    # PRC
    "tokenizer_as_processor", "token_id_out_of_range", "split_image_token", "pad_is_eos", "right_padded_generation",
    "missing_video_processor", "unregistered_processor", "conflicting_chat_templates", "unknown_characters",
    # COL
    "broadcast_mask", "missing_placeholders", "placeholder_mismatch", "shifted_mask", "truncated_image_tokens",
    "foreign_normalisation", "squashed_page", "unplanned_view", "malformed_images", "malformed_tiling",
    "unpicklable_collator", "dropped_rows", "swapped_images", "mixed_batch", "hidden_tokens", "mismatched_prompt",
    "failing_collator", "random_collator", "malformed_grid", "packed_without_block_mask",
    # LBL
    "copied_labels", "unmasked_prompt", "unmasked_image_tokens", "unmasked_padding", "nothing_supervised",
    "unsupervised_eos", "wrong_target", "repeated_start", "unheeded_end",
    # DTY
    "fp16_master_weights", "image_dtype_mismatch", "non_boolean_mask", "mixed_model_dtypes", "fixed_vision_dtype",
    "failing_dtype", "quantised_head", "quantised_vision", "slow_compute_dtype", "unheeded_skip",
    # DEV
    "hard_coded_device", "unmoved_entry", "helper_on_cpu", "unregistered_tensor", "batch_on_card", "named_card",
    "host_copy", "failing_on_card", "diverging_from_cpu", "synchronising_forward", "unsupported_attention",
    "failing_loader",
    # LRA
    "mismatched_task_type", "unmatched_targets", "untrainable_vision_adapters", "early_checkpointing",
    "failing_adapter", "wrapped_before_adapter", "adapted_tied_weights", "frozen_new_tokens",
    "unprepared_quantisation",
    # LRN
    "frozen_adapter", "checkpointing_starves", "flat_loss", "worse_than_guessing", "misscaled_loss", "failing_step",
    "misaligned_loss", "training_differs_from_generation", "unwritten_target", "hindering_setting",
    "unfit_learning_rate",
    "waiting_processes", "failing_start", "failing_evaluation", "missing_metric", "failing_callback",
    # VER
    "missing_symbol", "removed_api", "unregistered_auto_class",
    # MEM
    "memory_over_budget", "growing_memory", "kept_logits", "growing_process",
    # SAV
    "lost_adapter", "diverging_merge", "stale_checkpoint", "unsaved_weights", "failing_checkpoint", "failing_resume",
    "failing_final_save", "unreadable_result", "merged_into_packed_weights",
    # SEC
    "unpinned_revision", "suspicious_code", "hostile_code",
)  # fmt: skip


@cache
def catalogue() -> tuple[DiagnosisModule, ...]:
    """Every diagnosis module, sorted by code. Raises TypeError for a misspelt hook, or one with another signature."""
    modules = [check_module(importlib.import_module(f"{__name__}.{name}")) for name in NAMES]
    return tuple(sorted(modules, key=lambda m: m.DIAGNOSIS.code))


def find(code_or_name: str) -> DiagnosisModule | None:
    """The diagnosis with this code or name, in any case; None where there is none."""
    wanted = code_or_name.lower()
    return next((m for m in catalogue() if wanted in (m.DIAGNOSIS.code.lower(), m.DIAGNOSIS.name)), None)
