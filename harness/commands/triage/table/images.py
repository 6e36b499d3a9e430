"""Messages about images and the places for them in the text: nesting, tiling, grids, placeholders, masks."""

from __future__ import annotations

import msgspec

from preflight_ocr.harness.commands.triage.recogniser import Cause, Groups, Recogniser
from preflight_ocr.harness.commands.triage.table import places

_GRID = r"grid_thw|pos_ids_by_grid|rot_pos_emb"
_ROTARY = r"apply_rotary_pos_emb_vision|rotary_pos_emb[^\n]*vision|vision[^\n]*rotary|modeling_\w*vision"


def _count(groups: Groups, name: str) -> int:
    return int(groups[name])


def _sides(groups: Groups) -> list[int]:
    return [int(side) for side in groups["shape"].split(",")]


def _is_grid(groups: Groups) -> bool:
    """`[h/m, m, w/m, m]`: patch positions, regrouped by blocks of m."""
    sides = _sides(groups)
    return len(sides) == 4 and sides[1] == sides[3] and 1 < sides[1] < 8


def _is_tiling(groups: Groups) -> bool:
    """`[down, across, side, side, width]`: the features of tiles."""
    sides = _sides(groups)
    return len(sides) == 5 and sides[2] == sides[3]


def _is_view(groups: Groups) -> bool:
    """`[side, side, width]`: the features of one square view."""
    sides = _sides(groups)
    return len(sides) == 3 and sides[0] == sides[1]


def _has_three_axes(groups: Groups) -> bool:
    """Positions of frames, height and width."""
    return groups["axes"] == "3"


_NESTING = Cause(
    diagnosis="malformed_images",
    why="The images are nested or ranked otherwise than the model expects.",
    check="Print type, length and shapes of the image argument, level by level: each tensor needs its batch dimension.",
)
_GRID_ROWS = Cause(
    diagnosis="malformed_grid",
    why="The patch grid does not describe the patch rows it comes with.",
    check="Each image needs an int64 row (frames, height, width) in patches, height and width in whole merge blocks; the "
    "products of the rows add up to the number of patch rows.",
    proof=_GRID,
)
_NO_PLACEHOLDER = Cause(
    diagnosis="missing_placeholders",
    why="The text has no image placeholder: the prompt was built without it; the model is not the cause.",
    check="Decode one row's input_ids and look for the image token.",
)
_UNEXPANDED = Cause(
    diagnosis="placeholder_mismatch",
    why="The text has another number of image placeholders than the image has features.",
    check="Count the image tokens of one row's input_ids, and compare with what the model makes of its image.",
)
_CUT = Cause(
    diagnosis="truncated_image_tokens",
    why="The row was cut to its maximum length in the middle of its image placeholders.",
    check="Compare the row's length before truncation with max_length.",
)

_TOO_FEW = (
    Cause(
        diagnosis="missing_placeholders",
        why=_NO_PLACEHOLDER.why,
        check=_NO_PLACEHOLDER.check,
        holds=lambda groups: _count(groups, "tokens") == 0,
    ),
    Cause(
        diagnosis="placeholder_mismatch",
        why="The image placeholder is in the text once and was never expanded to one token for each feature.",
        check=_UNEXPANDED.check,
        holds=lambda groups: _count(groups, "tokens") == 1 < _count(groups, "features"),
    ),
    Cause(
        diagnosis="truncated_image_tokens",
        why=_CUT.why,
        check=_CUT.check,
        holds=lambda groups: 1 < _count(groups, "tokens") < _count(groups, "features"),
    ),
    Cause(
        diagnosis="placeholder_mismatch",
        why=_UNEXPANDED.why,
        check=_UNEXPANDED.check,
        holds=lambda groups: _count(groups, "tokens") > 1,
    ),
)
_TYPED = Cause(
    diagnosis="image_token_in_text",
    why="An image token stands in the text itself, so that the row has one more than it has images.",
    check="Search the rows' texts for the image token.",
)
_LONGER_GRID = Cause(
    diagnosis="placeholder_mismatch",
    why="The text has another number of image placeholders than the grids of its images make features.",
    check="For each row compare the number of image tokens in input_ids with the product of its grid, divided by the square "
    "of the merge size.",
)

TABLE = (
    # --- positions along the grids
    Recogniser(
        patterns=(
            r"shape mismatch: value tensor of shape \[(?P<axes>\d), \d+\] cannot be broadcast to indexing result of shape "
            r"\[\d, \d+\]",
        ),
        causes=tuple(msgspec.structs.replace(cause, holds=_has_three_axes) for cause in (_CUT, _LONGER_GRID)),
    ),
    Recogniser(
        patterns=(r"index \d+ is out of bounds for dimension \d with size \d+", r"^StopIteration\b"),
        within=r"get_rope_index",
        bare=False,
        causes=(
            Cause(
                diagnosis="placeholder_mismatch",
                why="The text has more image placeholders than there are grids: a row's picture is missing from the batch, "
                "or its token was written twice.",
                check="Print the number of rows in image_grid_thw beside the number of image tokens' runs in input_ids.",
            ),
            _TYPED,
        ),
    ),
    Recogniser(
        patterns=(r"\d+ is not in list",),
        within=r"get_rope_index",
        bare=False,
        causes=(_CUT, _LONGER_GRID),
    ),
    Recogniser(
        patterns=(
            r"[Nn]umber of images in the text \[?(?P<tokens>\d+)\]? and (?:the number of )?images +\[?(?P<features>\d+)\]?",
        ),
        causes=(
            Cause(
                diagnosis="missing_placeholders",
                why=_NO_PLACEHOLDER.why,
                check=_NO_PLACEHOLDER.check,
                holds=lambda groups: _count(groups, "tokens") == 0,
            ),
            Cause(
                diagnosis="image_token_in_text",
                why=_TYPED.why,
                check=_TYPED.check,
                holds=lambda groups: _count(groups, "tokens") > _count(groups, "features") > 0,
                sure=False,
            ),
            Cause(
                diagnosis="placeholder_mismatch",
                why="The prompt of a row has fewer image tokens than the row has images.",
                check="Build the prompt with one image part for each image of the row.",
                holds=lambda groups: 0 < _count(groups, "tokens") < _count(groups, "features"),
            ),
            Cause(
                diagnosis="malformed_images",
                why="The prompt asks for images, and the processor was handed none.",
                check="Print what is passed as `images`, nested as the processor takes it: one list for each row.",
                holds=lambda groups: _count(groups, "tokens") > 0 == _count(groups, "features"),
            ),
        ),
    ),
    # --- nesting
    Recogniser(
        patterns=(r"Expected \dD \(unbatched\) or \dD \(batched\) input to conv\dd",),
        causes=(_NESTING,),
    ),
    Recogniser(
        patterns=(
            r"permute\(sparse_coo\): number of dimensions\b",
            r"number of dims don't match in permute",
        ),
        causes=(_NESTING,),
    ),
    Recogniser(
        patterns=(r"to have (?P<want>\d+) channels, but got (?P<got>\d+) channels",),
        causes=(
            Cause(
                diagnosis="unusual_image_mode",
                why="An image has one, two or four channels where the model takes three.",
                check="Print the mode of the image files: palette, grey, transparent and CMYK pages need a conversion.",
                holds=lambda groups: groups["got"] in ("1", "2", "4"),
            ),
            Cause(
                diagnosis="malformed_images",
                why="The image's dimensions stand in another order than the model takes them.",
                check="Print the shape of the image tensor: channels come first.",
                holds=lambda groups: groups["got"] not in ("1", "2", "4"),
            ),
        ),
    ),
    # --- tiles and grids
    Recogniser(
        patterns=(r"shape '\[(?P<shape>\d+(?:, \d+)+)\]' is invalid for input of size",),
        within=places.MODEL_CODE,
        causes=(
            Cause(
                diagnosis="malformed_grid",
                why="The patch grid does not describe the patch rows: a size in pixels or a flat length was taken for the "
                "height or width, or one of them is odd.",
                check=_GRID_ROWS.check,
                holds=_is_grid,
                proof=_GRID,
            ),
            Cause(
                diagnosis="malformed_tiling",
                why="The numbers of tiles across and down do not belong to the tiles of the image.",
                check="Print the tiling beside the number of tiles of each row; across comes first.",
                holds=_is_tiling,
                proof=r"crop_num|spatial_crop|crop_shape|local\w*\.(?:view|reshape)",
            ),
            Cause(
                diagnosis="malformed_images",
                why="The global view and the tiles of an image have changed places.",
                check="Print the shapes of both parts of one entry: which of them is the page as a whole?",
                holds=_is_view,
                proof=r"(?:global\w*|whole)\.(?:view|reshape)",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"The size of tensor a \((?P<got>\d+)\) must match the size of tensor b \((?P<want>\d+)\)[^\n]*",
            r"output with shape \[(?P<got>\d+), \d+, \d+\] doesn't match the broadcast shape \[(?P<want>\d+), \d+, \d+\]",
            r"operands could not be broadcast together with shapes \(\d+,\d+,(?P<got>\d+)\) \((?P<want>\d+),\)",
        ),
        within=rf"{_ROTARY}|{_GRID}|normali[sz]e",
        causes=(
            Cause(
                diagnosis="unusual_image_mode",
                why="An image has one, two or four channels where mean and std are given for three.",
                check="Print the mode of the image files: palette, grey, transparent and CMYK pages need a conversion.",
                holds=lambda groups: groups["want"] == "3" and groups["got"] in ("1", "2", "4"),
                proof=r"normali[sz]e",
            ),
            Cause(
                diagnosis="malformed_grid",
                why="The image has another number of patch rows than its grid says, as with another model's temporal "
                "patch size.",
                check=_GRID_ROWS.check,
                holds=lambda groups: groups["want"] != "3",
                proof=rf"{_ROTARY}|{_GRID}",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"'list' object has no attribute 'shape'",
            r"iteration over a \d-d tensor",
            r"(?:not enough|too many) values to unpack \(expected \d",
            r"expand\(\): argument 'size' .*must be tuple of ints",
            r"(?:arange|reshape|repeat|expand)\(\)[^\n]*(?:must be|expected)[^\n]*int",
            r"torch\.cat\(\): expected a non-empty list of Tensors",
            r"repeats (?:must|has to) be",
        ),
        within=_GRID,
        bare=False,
        causes=(
            Cause(
                diagnosis="malformed_grid",
                why="The patch grid has another container, rank or dtype than the model reads: an int64 tensor with one "
                "row (frames, height, width) for each image.",
                check="Print type, shape and dtype of the grid.",
            ),
        ),
    ),
    # --- placeholders
    Recogniser(
        patterns=(
            r"[Ii]mage features and image tokens do not match[:,]? tokens:? *(?:tensor\()?(?P<tokens>\d+)[^\n]*?,? "
            r"features:? *(?P<features>\d+)",
            r"^(?:ValueError: )?tokens: (?P<tokens>\d+), features:? (?P<features>\d+)",
            r"number of image tokens is (?P<tokens>\d+) while the number of image given to the model is (?P<features>\d+)",
        ),
        causes=_TOO_FEW,
    ),
    Recogniser(
        patterns=(r"vision_embeddings\.size\(\d\)=(?P<features>\d+), new_img_mask\.sum\(\)=tensor\((?P<tokens>\d+)",),
        causes=(
            *_TOO_FEW,
            Cause(
                diagnosis="failing_generate",
                why="Generation hands the image over again at its second step, where the text has no placeholder any more; "
                "this release of transformers calls the model's own code in another way than it was written for.",
                check="Ask which releases the model's code can work with; training is not affected.",
                holds=lambda groups: _count(groups, "tokens") == 0,
                needs=places.GENERATING,
                prove="preflight window CONFIG",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"img_mask sum > .* will be truncated",),
        causes=(
            Cause(
                diagnosis="placeholder_mismatch",
                why="The text has more image placeholders than the image has features; the rest keeps its text embedding.",
                check="Look for a typed image token in the text, and for an image that was resized after expansion.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"Mismatch in `?\w+`? token count between text and `?input_ids`?", r"Mismatch in image token count"),
        causes=(_CUT, _UNEXPANDED),
    ),
    # --- masks
    Recogniser(
        patterns=(
            r"masked_scatter_? only supports boolean masks",
            r"masked_scatter_?: expected BoolTensor",
        ),
        causes=(
            Cause(
                diagnosis="non_boolean_mask",
                why="The mask that says where image features go is not boolean.",
                check="Print the dtype of the mask in one batch.",
            ),
        ),
    ),
    Recogniser(
        patterns=(r"The expanded size of the tensor \(\d+\) must match the existing size \(\d+\)",),
        within=r"masked_scatter|images_seq_mask|image_mask|img_mask",
        causes=(
            Cause(
                diagnosis="broadcast_mask",
                why="The placement mask is not as long as input_ids.",
                check="Print the shapes of the mask and of input_ids side by side, after padding and truncation.",
                proof=r"masked_scatter|images_seq_mask|image_mask|img_mask",
            ),
        ),
    ),
    Recogniser(
        patterns=(
            r"Number of elements of source < number of ones in mask",
            r"Assertion `totalElements <= srcSize` failed",
        ),
        causes=(
            Cause(
                diagnosis="placeholder_mismatch",
                why="More positions are marked for image features than the image has features.",
                check="Count the True positions of each row's mask and the features of its image.",
            ),
            Cause(
                diagnosis="broadcast_mask",
                why="The placement mask has one column, which is spread over the whole sequence.",
                check="Print the shape of the mask: it must be as wide as input_ids.",
            ),
            Cause(
                diagnosis="shifted_mask",
                why="The placement mask marks other positions than the image placeholders.",
                check="Compare the mask with input_ids == image_token_id.",
            ),
        ),
    ),
)
