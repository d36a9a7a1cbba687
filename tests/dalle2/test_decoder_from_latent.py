"""scripts/decoder_from_latent.py: the shipped latent model's weights, moved, say of cells what they said."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from armchair.core.bundle import SHIPPED, Bundle
from armchair.core.config import from_json
from armchair.core.packing import fill_module
from armchair.dalle2.config import DecoderConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle3.config import LatentConfig
from armchair.dalle3.parts import parts_of
from armchair.nn.autoencoder import Autoencoder, AutoencoderConfig

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "decoder_from_latent.py"


@torch.no_grad()
def test_moved_weights_say_the_same():
    """Of noisy cells, a caption and a time the same velocity, no variance; of clean cells the same pixels; of
    a caption the same sketch; CLIP's embedding has no say.
    """
    spec = importlib.util.spec_from_file_location("decoder_from_latent", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    source, before = Bundle.open(SHIPPED / "dalle3"), Bundle.open(SHIPPED / "dalle2")
    latent = from_json(LatentConfig, source.config("latent"), "latent")
    sizes = from_json(AutoencoderConfig, source.config("autoencoder"), "autoencoder")
    old = from_json(DecoderConfig, before.config("decoder"), "decoder")
    net = Decoder(script.config_of(latent, sizes, old)).eval()
    script.move(net, source, before, latent)
    theirs = parts_of(source, torch.device("cpu"), torch.float32)["latent"]
    assert net.cells is not None and net.sketch is not None

    torch.manual_seed(0)
    states, keep = torch.randn(1, 6, latent.words.width), torch.ones(1, 6, dtype=torch.bool)
    tokens, z = torch.randint(4_000, (1, 6)), torch.randn(1, old.embed)
    x, t = torch.randn(1, latent.channels, 16, 16), torch.tensor([0.6])
    read, spots = theirs.read(states, tokens, keep), None
    if theirs.layout is not None:
        spots = theirs.layout.draw(read.context, [1])
        read = read._replace(spots=spots)
    cond = theirs.conditions(read, theirs.nothing_known(1, 16, 16))
    ours = net.conditions(states, z, torch.tensor([True]), None, keep, read.context, spots)
    torch.testing.assert_close(ours["known"], cond["known"])
    torch.testing.assert_close(ours["extra"], cond["extra"])
    both = torch.cat([x, ours["known"]], dim=1)
    beside = ours.get("beside")
    said = net.unet(both, 1000 * t, extra=ours["extra"], context=states, keep=keep, beside=beside)
    torch.testing.assert_close(said[:, : latent.channels], theirs(x, t, **cond), atol=1e-4, rtol=1e-3)
    assert (said[:, latent.channels :] == 0).all()

    coder = Autoencoder(sizes).eval()
    fill_module(coder, source.tensors("autoencoder"), "autoencoder")
    made = net.cells.pixels(net.cells.back(x))
    torch.testing.assert_close(made, coder.decode(theirs.scale.back(x)), atol=1e-4, rtol=1e-3)
