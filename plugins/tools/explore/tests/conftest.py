"""Node, which runs what computes masks."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import maskkit
from maskkit_explore._page import script

FACTS = """
const TRIED = 6;

/** All that a mask gives, checked against itself: boxes against pairs, spans against rows. */
function factsOf(mapping) {
  const node = fromSaved(mapping), mask = build(node), rows = mask.axes.length > 1 ? mask.shape.at(-2) : 1;
  const keys = mask.shape.at(-1), problems = [];
  const rowOf = (plane, q) => (mask.axes.length > 1 ? mask.row(...plane, q) : mask.row());
  let pairs = "", state = 1;
  const below = (n) => (state = (state * 48271) % 2147483647) % n;
  for (const plane of planesOf(mask)) for (let q = 0; q < rows; q++) {
    const line = Array.from({ length: keys }, (_, k) => rowOf(plane, q)(k));
    if (line.some((one) => typeof one !== "boolean")) problems.push("no boolean");
    pairs += line.map(Number).join("");
    const spans = spansOf(mask, mask.axes.length > 1 ? [...plane, q] : [], Infinity).spans;
    if (line.some((one, k) => one !== spans.some(([lo, hi]) => lo <= k && k < hi))) problems.push(`spans of row ${q}`);
    for (let i = 0; i < TRIED; i++) {
      const last = q + below(rows - q), k0 = below(keys), k1 = k0 + below(keys - k0);
      const code = mask.axes.length > 1 ? mask.box(...plane, q, last)(k0, k1) : mask.box()(k0, k1);
      let met = 0;
      for (let a = q; a <= last; a++) for (let k = k0; k <= k1; k++) met |= rowOf(plane, a)(k) ? 2 : 1;
      const wrong = (met & code) !== met || (q === last && k0 === k1 && code !== met);
      if (wrong) problems.push(`box ${[q, last, k0, k1]}: ${code}`);
    }
  }
  const measuring = new Measuring(mask, 4, Infinity);
  while (!measuring.next(Infinity));
  const { allowed, blockedRows, blocks, exact, exactBlocks } = measuring.result();
  if (!exact || !exactBlocks) problems.push("counts are not exact");
  const again = print(toSaved(readExpression(asExpression(node))), true) === print(toSaved(node), true);
  if (!again) problems.push("the expression says another mask");
  const { shape, axes } = mask, saved = print(toSaved(node), true);
  return { shape, axes, pairs, allowed, blockedRows, blocks, saved, problems };
}
"""


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """Runs an expression of JavaScript on data, beside what computes masks."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("Node is not installed; on Debian: apt-get install nodejs")

    folder, installed = tmp_path_factory.mktemp("node"), script()

    def run(expression, data=None, names=None):
        code = f"""{installed if names is None else script(names)}{FACTS}
            const DATA = readValue(require("fs").readFileSync(0, "utf8"));
            const tried = (act) => {{ try {{ return act(); }} catch (error) {{
                if (!(error instanceof Refused)) throw error;
                return {{ refused: error.message }};
            }} }};
            process.stdout.write(JSON.stringify({expression}));"""
        file = folder / "masks.js"
        file.write_text(code, encoding="utf-8")
        done = subprocess.run(
            [path, file], input=json.dumps(data), capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture
def compare(node):
    """Masks whose facts Node gives as NumPy has them; those that the page refuses are given back with the reason."""

    def compared(masks, names=None):
        saved = [maskkit.to_dict(mask) for mask in masks]
        found = node("DATA.map((saved) => tried(() => factsOf(saved)))", saved, names)
        refused = []
        for mask, facts in zip(masks, found, strict=True):
            if "refused" in facts:
                refused.append((mask, facts["refused"]))
                continue
            assert (tuple(facts["shape"]), tuple(facts["axes"])) == (mask.shape, tuple(mask.axes)), mask
            allows = np.broadcast_to(mask.allows(*np.indices(mask.shape, sparse=True)), mask.shape)
            assert facts["pairs"] == "".join("01"[pair] for pair in allows.ravel().tolist()), mask
            assert not facts["problems"], (mask, facts["problems"])
            if len(facts["pairs"]) % 4:
                continue  # one in four is also read back, and counted
            assert maskkit.from_dict(json.loads(facts["saved"])) == mask
            if isinstance(mask, maskkit.AttentionMask):
                stats = mask.stats(block_size=4)
                assert (facts["allowed"], facts["blockedRows"]) == (stats.allowed, stats.blocked_rows), mask
                assert facts["blocks"] == stats.blocks, mask
        return refused

    return compared
