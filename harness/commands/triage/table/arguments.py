"""Messages about the training arguments: values that are refused, and what they need to be installed or set besides."""

from __future__ import annotations

from preflight_ocr.harness.commands.triage.recogniser import Cause, Recogniser

_PACKAGE = Cause(
    diagnosis="uninstalled_package",
    why="A value in the training arguments (optim, report_to, quantisation) needs a package that is not installed.",
    check="Install the package that is named, or choose a value that needs none: report_to: none, optim: adamw_torch.",
)
_REFUSED = Cause(
    diagnosis="refused_value",
    why="TrainingArguments has no such value in this release.",
    check="Write one of the values that the message lists.",
)

TABLE = (
    Recogniser(
        patterns=(
            r"\b\w*Callback requires [\s\S]{1,60}?to be installed",
            r"Trainer tried to instantiate [\s\S]{1,60}?not installed",
            r"liger-kernel[\s\S]{1,20}? is not available",
            r"Using `bitsandbytes` \d-bit quantization requires",
            r"requires the (?:latest version of )?bitsandbytes",
            r"requires Accelerate: `pip install",
            r"--deepspeed requires",
            r"You need to install `?(?:galore|lomo|grokadamw|schedulefree|apollo|torch-optimi|torchao)",
        ),
        causes=(_PACKAGE,),
    ),
    Recogniser(
        patterns=(
            r"is not a valid (?:SchedulerType|OptimizerNames|IntervalStrategy|SaveStrategy|HubStrategy|DebugOption)\b",
            r"is not a valid (?:EvaluationStrategy|FSDPOption|ParallelMode)\b",
        ),
        causes=(_REFUSED,),
    ),
    Recogniser(
        patterns=(r"At most one of fp\d+ and bf\d+ can be True",),
        causes=(
            Cause(
                diagnosis="refused_value",
                why="fp16 and bf16 are both on, and a run computes in one of them.",
                check="Keep the one that the card and the weights have: bf16 where it can be had.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"evaluation requires an eval_dataset", r"but you didn't pass an `eval_dataset`"),
        causes=(
            Cause(
                diagnosis="refused_value",
                why="The run is to evaluate, and it has no rows to evaluate on.",
                check="Name them (data.val_path, eval_dataset), or set eval_strategy to no.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"--load_best_model_at_end requires the sav(?:e|ing) (?:and eval strategy to match|steps to be a)",),
        causes=(
            Cause(
                diagnosis="misaligned_save_steps",
                why="The best checkpoint can only be one that was evaluated: saving must fall on steps of evaluation.",
                check="Give save_strategy the value of eval_strategy, and make save_steps a multiple of eval_steps.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"metric_for_best_model[\s\S]{1,80}?which is not found in the evaluation metrics",
            r"KeyError: '?\"?(?:eval_\w+)",
            r"early stopping required metric_for_best_model, but did not find",
        ),
        causes=(
            Cause(
                diagnosis="missing_metric",
                why="The metric by which checkpoints are judged is not among those that an evaluation gives.",
                check="Print what evaluation returns: a metric of compute_metrics, or eval_loss, which PEFT hides from "
                "Trainer where label_names is not given.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"EarlyStoppingCallback requires (?:load_best_model_at_end|metric_for_best_model|IntervalStrategy)",),
        causes=(
            Cause(
                diagnosis="failing_callback",
                why="Early stopping needs evaluations, a metric and load_best_model_at_end.",
                check="Set eval_strategy, metric_for_best_model and load_best_model_at_end, or take the callback off.",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"should be set through the `lr_scheduler_kwargs`",
            r"get_\w+_schedule\w*\(\) missing \d+ required positional arguments?",
        ),
        causes=(
            Cause(
                diagnosis="failing_start",
                why="The schedule that lr_scheduler_type names needs settings of its own.",
                check="Give them under lr_scheduler_kwargs, or choose a schedule without any, such as cosine.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"The generation config instance is invalid", r"Saving the generation config[\s\S]{1,60}?invalid"),
        causes=(
            Cause(
                diagnosis="failing_final_save",
                why="The model's generation configuration contradicts itself, and this release refuses to save it: sampling "
                "settings beside do_sample: false.",
                check="Set do_sample to true, or take temperature, top_p and top_k out, before the model is saved.",
            ),
        ),
    ),
)
