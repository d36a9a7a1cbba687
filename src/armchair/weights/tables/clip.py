"""CLIP's tensors under three names: OpenAI's (open_clip's too), Hugging Face's, ours (arXiv:2103.00020)."""

from __future__ import annotations

from armchair.weights.tables.keys import Drop, Fill, Row, Stack, Table, Transpose, row


def _openai_blocks(theirs: str, ours: str) -> list[Row]:
    return [
        row(f"{theirs}.{{n}}.ln_1.{{rest}}", f"{ours}.{{n}}.attention_norm.{{rest}}"),
        row(f"{theirs}.{{n}}.attn.in_proj_weight", f"{ours}.{{n}}.attention.qkv.weight"),
        row(f"{theirs}.{{n}}.attn.in_proj_bias", f"{ours}.{{n}}.attention.qkv.bias"),
        row(f"{theirs}.{{n}}.attn.out_proj.{{rest}}", f"{ours}.{{n}}.attention.out.{{rest}}"),
        row(f"{theirs}.{{n}}.ln_2.{{rest}}", f"{ours}.{{n}}.mlp_norm.{{rest}}"),
        row(f"{theirs}.{{n}}.mlp.c_fc.{{rest}}", f"{ours}.{{n}}.mlp.0.{{rest}}"),
        row(f"{theirs}.{{n}}.mlp.c_proj.{{rest}}", f"{ours}.{{n}}.mlp.2.{{rest}}"),
    ]


def _resnet() -> list[Row]:
    rows = [
        row("visual.attnpool.positional_embedding", "image.pool.position_embedding"),
        row("visual.attnpool.c_proj.{rest}", "image.pool.out.{rest}"),
    ]
    rows += [row(f"visual.attnpool.{x}_proj.{{rest}}", f"image.pool.{x}.{{rest}}") for x in "qkv"]
    for i in (1, 2, 3):
        rows.append(row(f"visual.conv{i}.weight", f"image.stem.{i - 1}.weight"))
        rows.append(row(f"visual.bn{i}.{{rest}}", f"image.stem_norms.{i - 1}.{{rest}}"))
    for i in (1, 2, 3, 4):
        theirs, ours = f"visual.layer{i}.{{n}}", f"image.stages.{i - 1}.{{n}}"
        for j in (1, 2, 3):
            rows.append(row(f"{theirs}.conv{j}.weight", f"{ours}.conv_{j}.weight"))
            rows.append(row(f"{theirs}.bn{j}.{{rest}}", f"{ours}.norm_{j}.{{rest}}"))
        rows.append(row(f"{theirs}.downsample.0.weight", f"{ours}.shortcut.weight"))
        rows.append(row(f"{theirs}.downsample.1.{{rest}}", f"{ours}.shortcut_norm.{{rest}}"))
    return rows


_TEXT = [
    row("token_embedding.weight", "text.token_embedding.weight"),
    row("positional_embedding", "text.position_embedding"),
    *_openai_blocks("transformer.resblocks", "text.blocks"),
    row("ln_final.{rest}", "text.norm.{rest}"),
    row("text_projection", "text.projection"),
    row("logit_scale", "logit_scale"),
]
_VIT = [
    row("visual.conv1.weight", "image.patches.weight"),
    row("visual.class_embedding", "image.class_embedding"),
    row("visual.positional_embedding", "image.position_embedding"),
    row("visual.ln_pre.{rest}", "image.norm_pre.{rest}"),
    *_openai_blocks("visual.transformer.resblocks", "image.blocks"),
    row("visual.ln_post.{rest}", "image.norm_post.{rest}"),
    row("visual.proj", "image.projection"),
]
_NUMBERS = [
    Drop("input_resolution", "the config has it"),
    Drop("context_length", "the config has it"),
    Drop("vocab_size", "the config has it"),
    Drop("attn_mask", "the text tower makes its own mask"),
]
OPENAI_VIT: Table = (*_TEXT, *_VIT, *_NUMBERS)
OPENAI_RESNET: Table = (*_TEXT, *_resnet(), *_NUMBERS)


def _hf_blocks(theirs: str, ours: str) -> list[Row]:
    parts = tuple(f"{theirs}.{{n}}.self_attn.{x}_proj" for x in "qkv")
    weights, biases = tuple(f"{x}.weight" for x in parts), tuple(f"{x}.bias" for x in parts)
    return [
        row(f"{theirs}.{{n}}.layer_norm1.{{rest}}", f"{ours}.{{n}}.attention_norm.{{rest}}"),
        row(weights, f"{ours}.{{n}}.attention.qkv.weight", Stack(3)),
        row(biases, f"{ours}.{{n}}.attention.qkv.bias", Stack(3)),
        row(f"{theirs}.{{n}}.self_attn.out_proj.{{rest}}", f"{ours}.{{n}}.attention.out.{{rest}}"),
        row(f"{theirs}.{{n}}.layer_norm2.{{rest}}", f"{ours}.{{n}}.mlp_norm.{{rest}}"),
        row(f"{theirs}.{{n}}.mlp.fc1.{{rest}}", f"{ours}.{{n}}.mlp.0.{{rest}}"),
        row(f"{theirs}.{{n}}.mlp.fc2.{{rest}}", f"{ours}.{{n}}.mlp.2.{{rest}}"),
    ]


HUGGING_FACE: Table = (
    row("text_model.embeddings.token_embedding.weight", "text.token_embedding.weight"),
    row("text_model.embeddings.position_embedding.weight", "text.position_embedding"),
    *_hf_blocks("text_model.encoder.layers", "text.blocks"),
    row("text_model.final_layer_norm.{rest}", "text.norm.{rest}"),
    row("text_projection.weight", "text.projection", Transpose()),
    row("vision_model.embeddings.class_embedding", "image.class_embedding"),
    row("vision_model.embeddings.patch_embedding.weight", "image.patches.weight"),
    row("vision_model.embeddings.position_embedding.weight", "image.position_embedding"),
    row("vision_model.pre_layrnorm.{rest}", "image.norm_pre.{rest}"),  # their spelling
    *_hf_blocks("vision_model.encoder.layers", "image.blocks"),
    row("vision_model.post_layernorm.{rest}", "image.norm_post.{rest}"),
    row("visual_projection.weight", "image.projection", Transpose()),
    row("logit_scale", "logit_scale"),
    Drop("text_model.embeddings.position_ids", "positions count up from 0"),
    Drop("vision_model.embeddings.position_ids", "positions count up from 0"),
)
NO_SCALE = Fill("logit_scale", 4.6052, "towers published one by one have none: that of OpenAI's CLIPs")
