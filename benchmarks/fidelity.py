"""Writes docs/fidelity.md: how far predictions are off published measurements, the misses included.

    python benchmarks/fidelity.py ../shared/data/calibration > docs/fidelity.md
    python benchmarks/fidelity.py ../shared/data/calibration --every 20   # a quick look: each 20th run, no kernels

The folder holds measured_runs.csv and the kernel tables. The same folder and program give the same page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llmsim.calibrate.kernels import kernel_report
from llmsim.calibrate.runs import read_runs
from llmsim.calibrate.validate import validate
from llmsim.report.fidelity import page

HEAD = """\
A simulator is worth what its errors are. This page compares predictions with measurements that others published;
`benchmarks/fidelity.py` writes it, and the misses stay in it.

Two kinds of measurement are used. **Kernel timings** (matrix products, attention, all-reduce, routed experts) fit
the efficiencies in `hardware/efficiency/`. **Server runs** fit a few numbers for each engine generation in
`hardware/engines/`: host time per iteration and per sequence, and time before a request reaches the scheduler. No
coefficient belongs to a single run or model."""

RUNS = """\
Errors are |predicted / measured − 1|. The same runs fitted the host times of the generations marked `measured`,
so for those these are errors of a fit; and almost all are of H100, whose kernels were timed. For other hardware
look at [an accelerator left out](#an-accelerator-left-out). A source is a publisher and a model: the median over
sources keeps a large family from deciding alone. TTFT counts where the server keeps up; beyond, a queue decides it.
Throughput of an open loop that keeps up is what was offered, and says little there."""

INTERVALS = """\
Every headline metric of a run carries an interval of the model's error, apart from the statistical one over seeds.
Its width comes from these residuals, and from the kernels' where the hardware was not timed. A good 80% interval
holds four measurements of five, no fewer and no more: far from 80% below is a miss, to either side."""

KERNELS = """\
Median / p90 of |fitted / measured − 1|. One shape of four is held back from a second fit that is made only for
this table; the coefficients that are shipped are fitted to all shapes."""

LEFT_OUT = """\
The curves of other accelerators, with the datasheet of one that none of them saw, asked for its timings: what to
expect of an accelerator that has a datasheet and no timings. An all-reduce runs over the wires of its node, so it is
carried over between NVLink nodes only; of PCIe nodes those here differ too much to stand for each other."""

BY_OTHERS = """\
Measured by other people, with other libraries and tools; the curves named were not fitted to them. Part of these
errors is the difference between laboratories: two tables of the same A100 disagree by 14% on large weights. The largest
misses have a reason. H20 and H800 ran DeepGEMM; and an H20, whose arithmetic is cut but not its power, comes near its
fp8 peak, where the Hopper class, held back by power, reaches little over half: so an H20 has a fit of its own, and its
row here says what the class would have made of it. FlashInfer's per-tensor fp8 experts took three to four times as long
as the block-quantized ones of Triton that the curve is of. They read weights at 0.6 TB/s on H100 and H200 alike, an
eighth to a fifth of the bandwidth, where the same library reaches 88% of it on an RTX PRO 6000: no property of the
hardware, perhaps of a kernel timed before its tuning. No curve is made of what nobody can explain; if servers are as
slow, they are predicted too fast."""

NOT_MODELLED = """\
- Not validated for want of runs: SGLang, vLLM before 0.8, and every accelerator but the H100 and one RTX PRO 6000.
  Their host times are priors and their intervals are wider; a report says which it rests on.
- Products with 4-bit weights: none was timed. They take the 16-bit curve's shares in tiles of 16 to 64 rows, which
  meets the one table at hand (TinyChat's Llama-2-7B on RTX 4090: 5.3 ms of 5.28) and no other.
- The spread of iteration times around their mean: garbage collection, clocks that fall as a card warms up,
  neighbours on the host. Tails of a real server are longer than simulated ones.
- The network between client and server, and the client's own delays.
- Sizes that CUDA graphs were captured for: a batch costs what its size costs, not that of the next captured one.
- Kernel choice shape by shape: a curve is one kernel family, so a badly tuned configuration is a miss.
- Skew of a router's expert choice beyond chance.
- Lengths whose source gives only a mean: simulated at the mean, or with ShareGPT's shape where it says so.
- Speculative decoding, disaggregated prefill, KV offload, adapters: not in this version."""

RERUN = """\
```console
$ python benchmarks/fidelity.py ../shared/data/calibration > docs/fidelity.md   # this page
$ python -m llmsim.calibrate.engines_fit ../shared/data/calibration/measured_runs.csv  # host times
$ python -m llmsim.calibrate.intervals ../shared/data/calibration/measured_runs.csv    # widths of intervals
$ llmsim validate measured_runs.csv                                            # the runs, row by row
$ llmsim validate my-result.json --set gpu=h100-sxm                            # your own
$ python benchmarks/measure_gpu.py --out my-gpu                                # time your card's kernels
$ llmsim calibrate --kernels my-gpu --accelerator h100-sxm --out my-gpu.yaml   # fit them
$ llmsim calibrate my-result.json --scenario mine.yaml --out mine.overlay.yaml # fit your server's host times
```"""

WORDS = {
    "head": HEAD,
    "runs": RUNS,
    "intervals": INTERVALS,
    "kernels": KERNELS,
    "left out": LEFT_OUT,
    "by others": BY_OTHERS,
    "not modelled": NOT_MODELLED,
    "rerun": RERUN,
}


def main() -> None:
    """Prints the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of measured_runs.csv and the kernel tables")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth run, and no kernels")
    given = parser.parse_args()
    runs = validate(read_runs(given.data / "measured_runs.csv")[:: given.every])
    kernels = kernel_report(given.data) if given.every == 1 else []
    sys.stdout.write(page(runs, kernels, WORDS))


if __name__ == "__main__":
    main()
