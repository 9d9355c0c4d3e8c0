"""Runs in an environment with t5x: times the decoding of magenta/mt3's own network, with random weights.

    python run_ancestor.py /path/to/magenta/mt3 [BATCH [TOKENS]]

The loop is what the ancestor's inference runs: t5x's beam search with one beam over `mt3.network`, in the sizes of its
`small.gin` files. The weights of EOS are zero, so that it is never likely and every row has all its tokens. One line of
JSON comes out, with the seconds of encoding and decoding; compiling is not among them.
"""

import json
import sys
import time
import types
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np

folder, batch, num_tokens = Path(sys.argv[1]), *(int(word) for word in [*sys.argv[2:], "8", "1024"][:2])
# The package's own __init__ imports what decoding does not need.
package = types.ModuleType("mt3")
package.__path__ = [str(folder / "mt3")]
sys.modules["mt3"] = package

from mt3 import models, network  # noqa: E402

config = network.T5Config(
    vocab_size=1536,
    num_heads=6,
    num_encoder_layers=8,
    num_decoder_layers=8,
    mlp_dim=1024,
    mlp_activations=("gelu", "linear"),
)
NUM_FRAMES, EOS = 256, 1


class Vocabulary:
    """What the model asks of its output vocabulary."""

    eos_id = EOS


model = models.ContinuousInputsEncoderDecoderModel(
    module=network.Transformer(config),
    input_vocabulary=None,
    output_vocabulary=Vocabulary(),
    optimizer_def=None,
    input_depth=512,
)
shapes = {"encoder_input_tokens": (batch, NUM_FRAMES, 512), "decoder_input_tokens": (batch, num_tokens)}
params = model.get_initial_variables(
    jax.random.PRNGKey(0), shapes, {"encoder_input_tokens": jnp.float32, "decoder_input_tokens": jnp.int32}
)["params"]
params = flax.core.unfreeze(params)
params["decoder"]["logits_dense"]["kernel"] = params["decoder"]["logits_dense"]["kernel"].at[:, EOS].set(0)
features = {
    "encoder_input_tokens": np.random.default_rng(0).normal(-3, 2, shapes["encoder_input_tokens"]).astype(np.float32),
    "decoder_input_tokens": np.zeros(shapes["decoder_input_tokens"], np.int32),
}
predict = jax.jit(model.predict_batch).lower(params, features).compile()
started = time.perf_counter()
tokens = np.asarray(predict(params, features))
seconds = [time.perf_counter() - started]
assert tokens.shape == (batch, num_tokens) and (tokens != EOS).all() and (tokens[:, -1] != 0).all(), "rows ended early"
print(json.dumps({"seconds": seconds, "batch": batch, "tokens": num_tokens}))
