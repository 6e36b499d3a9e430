"""A healthy run: LoRA on the miniature DeepSeek-OCR, our own collator, on a CPU without an accelerator."""

from __future__ import annotations

import msgspec

from preflight_ocr.harness.check.children import NO_BUDGET
from preflight_ocr.harness.facts import (
    Accelerator,
    Adapter,
    Agreement,
    AlikeRows,
    AttentionTry,
    Batch,
    Behaviour,
    Carrier,
    Census,
    Collator,
    Configuration,
    Dataset,
    Device,
    Ends,
    Environment,
    Facts,
    Forward,
    Growth,
    Import,
    KeptOutputs,
    Landing,
    Leaf,
    Learning,
    LoaderTry,
    Opened,
    Parameter,
    PixelView,
    Placement,
    Positions,
    Precision,
    Processor,
    ProcessorFiles,
    Recipe,
    Recital,
    Rehearsal,
    Repository,
    RoundTrip,
    Row,
    RowLength,
    Signature,
    Site,
    Spellings,
    Split,
    Subject,
    Target,
    Token,
    Tokenizer,
    Unknown,
    Wait,
)

PROMPT = "\nFree OCR."
TARGETS = ("q_proj", "v_proj")
GIB = 1 << 30


def write_row(roles: str, *, target: str, prompt: str = PROMPT) -> Row:
    """A row as a right collator builds it: targets and EOS trained, padding not attended, placeholders marked."""

    def mark(chosen: str) -> str:
        return "".join("1" if role in chosen else "0" for role in roles)

    return Row(
        roles=roles,
        trained=mark("te"),
        attended=mark("bipte"),
        marked=mark("i"),
        supervised_text=f"{target}<|end|>" if "e" in roles else target,
        target_text=target,
        prompt_text=prompt,
        truncated=False,
    )


ROLES = {"images": "pixels", "images_seq_mask": "placement_mask", "images_spatial_crop": "tiling"}
ROWS = (
    write_row("biiiiiiippppttttttte", target="Жили-были дед и баба"),
    write_row("....biiiiiiippppttte", target="seven"),
)
SIGNATURE = Signature(
    owner="DeepseekOCRForCausalLM.forward",
    parameters=tuple(
        Parameter(name=name, kind="positional_or_keyword", has_default=True)
        for name in (
            *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "labels"),
            *("use_cache", "output_attentions", "output_hidden_states"),
            *("images", "images_seq_mask", "images_spatial_crop", "return_dict"),
        )
    ),
)


def _tensor(argument: str, path: str, shape: tuple[int, ...], dtype: str, low: float, high: float, mean: float) -> Leaf:
    return Leaf(
        argument=argument,
        path=path,
        kind="tensor",
        shape=shape,
        dtype=dtype,
        device="cpu",
        minimum=low,
        maximum=high,
        mean=mean,
    )


BATCH = Batch(
    rows_in=2,
    rows_out=2,
    keys=("input_ids", "attention_mask", "labels", "images", "images_seq_mask", "images_spatial_crop"),
    leaves=(
        _tensor("input_ids", "input_ids", (2, 20), "int64", 0, 511, 170.0),
        _tensor("attention_mask", "attention_mask", (2, 20), "int64", 0, 1, 0.9),
        _tensor("labels", "labels", (2, 20), "int64", -100, 509, 3.5),
        _tensor("images", "images[0][0]", (1, 3, 128, 128), "float32", 0, 0, 0.0),
        _tensor("images", "images[0][1]", (1, 3, 128, 128), "float32", -1, 1, 0.6),
        _tensor("images", "images[1][0]", (1, 3, 128, 128), "float32", 0, 0, 0.0),
        _tensor("images", "images[1][1]", (1, 3, 128, 128), "float32", -1, 1, 0.7),
        _tensor("images_seq_mask", "images_seq_mask", (2, 20), "bool", 0, 1, 0.35),
        _tensor("images_spatial_crop", "images_spatial_crop", (2, 2), "int64", 1, 1, 1.0),
    ),
    rows=ROWS,
)


HEALTHY = Facts(
    environment=Environment(
        python="3.11.9",
        platform="linux",
        packages={
            "torch": "2.13.0+cpu",
            "transformers": "5.23.0",
            "peft": "0.21.2",
            "accelerate": "1.9.0",
            "pillow": "11.3.0",
            "safetensors": "0.6.2",
        },
        stdout_encoding="utf-8",
        text_encoding="utf-8",
        torch_build="cpu",
        torchvision_wants_torch=None,
        torchvision_build=None,
        cards=(),
    ),
    rehearsal=Rehearsal(
        arguments="done",
        trainer="done",
        optimizer="done",
        step="done",
        callbacks=(),
        evaluation="done",
        wanted_metric="eval_loss",
        metrics=("eval_loss", "eval_runtime", "epoch"),
        kept=KeptOutputs(rows=2, bytes=4096, all_rows=50, weights=10 << 20, host=64 << 30),
        checkpoint="done",
        resume="done",
        best="done",
        saving="done",
        processor="done",
        generation_config="done",
        reading="done",
        left_out=(),
    ),
    configuration=Configuration(
        source="training.yaml",
        base_model="models/deepseek_ocr",
        trust_remote_code=True,
        torch_dtype="float32",
        attn_implementation="eager",
        use_cpu=True,
        task_type="CAUSAL_LM",
        target_modules=TARGETS,
        batch_size=2,
        total_steps=200,
        warmup_steps=10,
        save_steps=100,
        eval_strategy="steps",
        eval_steps=50,
        load_best_model_at_end=True,
        early_stopping=True,
        max_seq_length=512,
        budget_bytes=16 * GIB,
        output_dir="outputs",
        unknown_keys=(),
        ineffective_keys=(),
        is_local=True,
        revision=None,
        device_map=None,
        fp16=False,
        bf16=False,
        gradient_checkpointing=False,
        use_reentrant=None,
        lora_r=8,
        accumulation_steps=1,
        save_strategy="steps",
        remove_unused_columns=False,
        dataloader_workers=0,
        pins_memory=True,
        checkpoints=(),
        world_size=1,
        refused_values=(),
        lacking_packages=(),
        replaced_parts=(),
    ),
    repository=Repository(
        path="models/deepseek_ocr",
        model_type="DeepseekOCR",
        architectures=("DeepseekOCRForCausalLM",),
        auto_map={
            "AutoConfig": "modeling_deepseekocr.DeepseekOCRConfig",
            "AutoModel": "modeling_deepseekocr.DeepseekOCRForCausalLM",
        },
        has_remote_code=True,
        files={"config.json": "0" * 64, "modeling_deepseekocr.py": "1" * 64},
        forward=SIGNATURE,
        imports=(
            Import(
                module="torch", name="nn", file="deepencoder.py", line=4, conditional=False, status="found", detail=""
            ),
            Import(
                module="flash_attn",
                name="flash_attn_func",
                file="modeling_deepseekv2.py",
                line=31,
                conditional=True,
                status="missing package",
                detail="flash_attn is not installed",
            ),
        ),
        device_sites=(
            Site(
                file="modeling_deepseekocr.py",
                line=210,
                code="images_seq_mask[i].unsqueeze(-1).cuda()",
                kind="cuda",
                runs=None,
            ),
            Site(file="modeling_deepseekocr.py", line=170, code="with torch.no_grad():", kind="no_grad", runs=None),
        ),
        attention=("eager", "flash_attention_2"),
        vocabulary=512,
        torch_dtype="bfloat16",
        weights_bytes=3_000_000,
        unread_code=(),
        suspicious=(),
        tied_embeddings=False,
    ),
    tokenizer=Tokenizer(
        declared_class="LlamaTokenizerFast",
        length=512,
        bos=Token(content="<|begin|>", id=0),
        eos=Token(content="<|end|>", id=1),
        pad=Token(content="<|pad|>", id=2),
        image=Token(content="<image>", id=511),
        adds_bos=True,
        padding_side="left",
        chat_templates=(),
    ),
    processor_files=ProcessorFiles(
        declared_class="DeepseekVLV2Processor",
        image_token="<image>",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        class_has_code=False,
    ),
    subject=Subject(
        parts={},
        auto_classes=(),
        absent_names=(),
        image_calls_on_processor=(),
        files_without_utf8=(),
        swallowed_exceptions=(),
        generate_calls=(),
        left_padding=(),
        training_moves=(),
        batch_entries={},
    ),
    dataset=Dataset(
        splits=(
            Split(name="train", path="data/train", rows=64, pictured=64, columns=("image_path", "text")),
            Split(name="val", path="data/val", rows=8, pictured=8, columns=("image_path", "text")),
        ),
        text_is_ascii=False,
        spellings=Spellings(shaped=(), shaped_rows=0, letters=0, both_ways=()),
        image_headers=72,
        image_pixels=72,
        problems=(),
        shared_rows=(),
    ),
    processor=Processor(
        returned="tokenizer",
        class_name="LlamaTokenizerFast",
        registered=Opened(returned="tokenizer", class_name="LlamaTokenizerFast", raised=None, site=None),
        raised=None,
        unfilled=(),
        image_calls=(),
    ),
    collator=Collator(
        owner="preflight",
        placeholder="<image>",
        batch=BATCH,
        reference=BATCH,
        roles=ROLES,
        views=tuple(
            PixelView(
                row=row,
                path=f"images[{row}][1]",
                geometry="as expected",
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                source_row=row,
                detail="",
            )
            for row in (0, 1)
        ),
        planned_tiles=(0, 0),
        seen_tiles=(0, 0),
        expected_prompt=PROMPT,
        safe_length=24,
        deltas=(),
        grid=None,
        deterministic=True,
        pickles=True,
        pickle_error="",
        starts_with_bos=True,
        mixed_rows="ok",
        mixed_swaps=(),
        swallowed_rows=0,
        boxes=(),
        unwritable=None,
    ),
    forward=Forward(
        signature=SIGNATURE,
        model_class="DeepseekOCRForCausalLM",
        weights="random",
        landing=tuple(
            Landing(row=number, placeholders=row.count("i"), features=7, landed=row.marked)
            for number, row in enumerate(ROWS)
        ),
        behaviour=Behaviour(
            text_reaches=(True, True), image_reaches=(True, True), image_leaks=(), padding_changes=False
        ),
        loss=6.25,
        returned=("loss", "logits", "past_key_values"),
        positions=Positions(limit=4096, rows=(RowLength(row=3, name="page.png", tokens=120, highest=119),)),
        uniform_loss=6.24,
        loss_by_token=6.26,
        loss_reads="next",
        dtypes={
            "vision": {"float32": 200_000},
            "projector": {"float32": 20_000},
            "embedding": {"float32": 32_768},
            "attention": {"float32": 65_536},
            "mlp": {"float32": 98_304},
            "experts": {"float32": 196_608},
            "head": {"float32": 32_768},
        },
        embedding_rows=512,
        highest_token_id=511,
        redirected=(
            Site(
                file="modeling_deepseekocr.py",
                line=210,
                code="images_seq_mask[i].unsqueeze(-1).cuda()",
                kind="cuda",
                runs=None,
            ),
        ),
        padding_side="left",
        generation="ok",
        placement=Placement(
            ended="ok",
            in_training="ok",
            generated="ok",
            whole=True,
            clashes=(),
            unmoved=(),
            returned=(),
            named=(),
            host_copies=(),
            synchronisations=(),
            undecided=(),
        ),
        loading=None,
        given="ok",
        reference="ok",
        repairs=(),
        wrapper=None,
        has_generate=True,
        idle_keys=(),
        lost_buffers=(),
        agreement=Agreement(
            first=(1.3e-6, 1.1e-6, 1.2e-6),
            along=(1.8e-6, 1.9e-6, 1.7e-6),
            cached=(2.1e-6, 2.0e-6, 1.6e-6),
            tolerance=1e-3,
            expected=("input_ids", "attention_mask", "labels", "images", "images_seq_mask", "images_spatial_crop"),
            mended_by=(),
            packed=False,
            started_again=(),
            starts=(),
            target_tokens=40,
        ),
        ends=Ends(stops=((1, "<｜end▁of▁sentence｜>"),), rows=3, endless=(), last=()),
        processor_calls=(),
    ),
    adapter=Adapter(
        trainable_dtypes=("float32",),
        task_type="CAUSAL_LM",
        injected=("inputs_embeds",),
        fitting_task_types=("CAUSAL_LM", "FEATURE_EXTRACTION"),
        targets=tuple(Target(name=name, hits={"attention": 2}) for name in TARGETS),
        trainable=4096,
        total=650_000,
        key_example="base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        carriers=(
            Carrier(part="vision", name="model.vision_model.blocks.*.attn.qkv", modules=2, adapted=0),
            *(
                Carrier(part="attention", name=f"model.layers.*.self_attn.{name}", modules=2, adapted=2)
                for name in TARGETS
            ),
            Carrier(part="head", name="lm_head", modules=1, adapted=0),
        ),
        raised=None,
        rejected=(),
        inside_wrapper=False,
        on_tied_weights=(),
        loss_keyword=None,
        wrapper=None,
        quantised=None,
        merges=(),
    ),
    learning=Learning(
        census=tuple(
            Census(
                part="attention",
                checkpointing=checkpointing,
                adapters=4,
                with_gradient=4,
                moved=4,
                unreached=0,
                idle={},
            )
            for checkpointing in (False, True)
        ),
        severed=(),
        mixed_precision=Unknown(reason="neither fp16 nor bf16 is asked for"),
        losses=(6.25, 6.02, 5.71, 5.3, 4.88),
        round_trip=RoundTrip(
            same_logits=True,
            differs_from_base=True,
            missing_keys=(),
            unexpected_keys=(),
            lost_keys=(),
            difference=0.0,
            control=Unknown(reason="no weight is packed, so that there is one kernel"),
            reread=(101, 330, 1),
        ),
        recipe=Recipe(steps=20, peak=3e-3, reach=0.0315, change=0.9, share=0.02),
        recital=Recital(
            row=0,
            steps=23,
            wanted=(101, 330, 1),
            text="bread<｜end▁of▁sentence｜>",
            read=(101, 330, 1),
            read_text="bread<｜end▁of▁sentence｜>",
            hindering=(),
        ),
        training="ok",
        checkpointing="ok",
        unsaved=(),
        alike_rows=AlikeRows(ids=(), tokens=(), used=40, trained=False),
        merged_equals_unmerged=True,
        merge_loss=3e-6,
        growth=Growth(
            tensors=(310,) * 6, bytes=(900_000,) * 6, entries=(2,) * 6, files=(14,) * 6, threads=(3,) * 6, holders=()
        ),
        accumulation_ratio=1.0,
    ),
    memory=NO_BUDGET,
    device=Unknown(reason="there is no accelerator on this machine"),
)

ON_CARD = msgspec.structs.replace(
    HEALTHY,
    device=Device(name="NVIDIA L4", capability="8.9", arch_list=("sm_80", "sm_86", "sm_90"), refused=None),
    accelerator=Accelerator(
        strays=(),
        precisions=(
            Precision(
                name="float32 weights",
                is_configured=True,
                step="ok",
                loss=6.25,
                difference=4e-4,
                tolerance=0.02,
                not_finite=(),
            ),
            Precision(
                name="float32 weights, float16 autocast, scaler",
                is_configured=False,
                step="ok",
                loss=6.25,
                difference=2e-3,
                tolerance=0.05,
                not_finite=(),
            ),
            Precision(
                name="bfloat16 weights",
                is_configured=False,
                step="ok",
                loss=6.25,
                difference=0.01,
                tolerance=0.2,
                not_finite=(),
            ),
        ),
        waits=(
            Wait(
                site=Site(
                    file="modeling_deepseekocr.py", line=69, code="if torch.sum(crops).item() != 0:", kind="", runs=None
                ),
                times=4,
            ),
            Wait(
                site=Site(file="modeling_deepseekv2.py", line=180, code="tokens[chosen == index]", kind="", runs=None),
                times=16,
            ),
        ),
        held=(40_000_000, 40_100_000, 40_100_000, *[40_200_000] * 17),
        attention=(
            AttentionTry(name="eager", is_used=True, ended="ok", difference=4e-4, tolerance=0.02),
            AttentionTry(name="sdpa", is_used=False, ended="ok", difference=4e-4, tolerance=0.02),
        ),
        generation="ok",
        loaders=(
            LoaderTry(workers=0, is_pinned=True, ended="ok", strays=()),
            LoaderTry(workers=2, is_pinned=True, ended="ok", strays=()),
        ),
    ),
)
"""The same run with what a card answered."""
