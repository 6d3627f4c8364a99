"""The KV pools of one fleet pool's replicas, each with what lies behind it."""

from __future__ import annotations

from math import inf

from llmsim import plugins
from llmsim.cost.footprint import block_bytes
from llmsim.cost.memory import KVCapacity
from llmsim.cost.parallel import ParallelPlan, layers_of
from llmsim.cost.plan import Formats
from llmsim.engine.kv.base import KVCache
from llmsim.engine.kv.segments import SegmentReuse
from llmsim.engine.kv.tiered import Tiered
from llmsim.engine.pipe import Pipe
from llmsim.engine.preemption.host import HOST, HostMemory
from llmsim.engine.preemption.recompute import Recompute
from llmsim.engine.profile import Profile
from llmsim.errors import DoesNotFitError, Problem, ScenarioError
from llmsim.files import catalog
from llmsim.sim.options import options_of
from llmsim.sim.tiers import PoolTiers
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import ModelShape
from llmsim.spec.serving import Engine as EngineSpec
from llmsim.spec.serving import Pool


class KVPlan:
    """How large a replica's KV pool is, how it is given out, and where KV goes that it has no room for.

    Args:
        pool, spec, model, plan, formats: What is served on what.
        capacity: What memory leaves for KV.

    Attributes:
        bytes_per_token: KV of a token that every layer keeps, over all devices.
        num_tokens: Tokens of sequences that the pool holds, if every layer keeps them all.
        max_model_len: Most tokens of one request.
        tiers: The memories below the pools.

    Raises:
        DoesNotFitError: The pool does not hold one longest request.
    """

    def __init__(
        self,
        pool: Pool,
        spec: EngineSpec,
        model: ModelShape,
        plan: ParallelPlan,
        formats: Formats,
        capacity: KVCapacity,
    ) -> None:
        self._pool, self._spec, self._plan = pool, spec, plan
        self._accelerator = catalog.accelerator(pool.accelerator)
        self._num_layers = model.num_layers
        self.capacity = capacity
        self.bytes_per_token = block_bytes(model.layers, formats, 1, 1)
        self._parts = [
            block_bytes(groups, formats, plan.tp_of(stage), 1) / plan.prefill_context_parallel_size
            for stage, groups in enumerate(layers_of(model.layers, plan))
        ]
        """Of each stage, the KV bytes of a token on one of its devices."""
        self.num_tokens = spec.num_kv_tokens or capacity.num_tokens
        longest = self._longest()
        # As vLLM's `--max-model-len auto`: the model's own limit, or what the pool holds if that is less.
        self.max_model_len = spec.max_model_len or min(model.max_position_embeddings, longest)
        if self.max_model_len > longest:
            raise DoesNotFitError(
                self._problem(
                    f"max_model_len is {self.max_model_len:,} tokens, but of {self.num_tokens:,} in the KV pool one "
                    f"request can have {longest:,}{self._set_aside()}; lower it, or enlarge the pool"
                )
            )
        self.tiers = PoolTiers(
            spec.kv_tiers, self._accelerator, plan.num_devices, pool.node, self.bytes_per_token
        )

    def new_cache(self, profile: Profile) -> KVCache:
        """The pool of a new replica.

        Raises:
            ScenarioError: KV is to go where the catalogue knows no way to.
        """
        kv = self._bare_cache(self.max_model_len)
        kv.preemption = self._preemption()
        if isinstance(kv, SegmentReuse):
            kv.way = Pipe(
                self._copies_per_s() if kv.store_in == "gpu" else self._host_tokens_per_s("segments")
            )
        if isinstance(kv, Tiered):
            parts = self._num_layers if self._spec.kv_loading == "layerwise" else 1
            kv.attach(self.tiers.of_replica(kv.block_size), parts, profile)
        return kv

    def _bare_cache(self, max_model_len: int) -> KVCache:
        """The pool as it comes, without what lies behind it."""
        layout, kinds = self.capacity.layout, plugins.KV_CACHES
        if self._spec.kv_tiers:
            kinds = plugins.TIERED_CACHES
        elif self._spec.enable_prefix_caching:
            kinds = plugins.PREFIX_CACHES
        elif layout:
            kinds = plugins.HYBRID_CACHES
        kv_class = kinds.get(self._spec.kv_cache.kind)
        kv: KVCache = kv_class(
            self.num_tokens,
            self._spec.block_size,
            max_model_len,
            options_of(kv_class, self._spec.kv_cache),
            **({"layout": layout, "num_blocks": self.capacity.num_blocks} if layout else {}),
        )
        return kv

    def _longest(self) -> int:
        """Tokens of the longest request that the pool holds alone, in whole blocks and beside what is set aside.

        Raises:
            DoesNotFitError: Not even one block.
        """
        if self.capacity.layout:
            return self.capacity.longest
        kv = self._bare_cache(self.num_tokens)
        if not kv.num_blocks:
            raise DoesNotFitError(
                self._problem(
                    f"kv_cache '{self._spec.kv_cache.kind}' has no block of {kv.block_size:,} tokens in a KV pool of "
                    f"{self.num_tokens:,}{self._set_aside()}; enlarge the pool, or change what takes it"
                )
            )
        return kv.num_tokens

    def _set_aside(self) -> str:
        """What of the pool requests cannot have, in words; empty where that is less than a block."""
        taken = self._spec.set_aside_tokens
        return f" ({taken:,} are store_tokens)" if taken else ""

    def _preemption(self) -> Recompute:
        mode: type[Recompute] = plugins.PREEMPTION_MODES.get(self._spec.preemption_mode.kind)
        host = self._host_memory() if mode.uses_host else HOST
        return mode(host, options_of(mode, self._spec.preemption_mode))

    def _host_memory(self) -> HostMemory:
        """The hosts of a replica's accelerators."""
        total = self.bytes_per_token
        if not total:
            return HOST
        tokens_per_s = self._host_tokens_per_s(f"preemption_mode {self._spec.preemption_mode.kind}")
        return HostMemory(total, total * tokens_per_s, max(self._parts) / total)

    def _host_tokens_per_s(self, what: str) -> float:
        """Tokens of KV that ``what`` moves to or from the host in a second."""
        links = [device.host_link_bytes_per_s for device in self._devices()]
        if None in links:
            unknown = self._devices()[links.index(None)].name
            raise ScenarioError(
                self._problem(
                    f"{what}: KV moves over the link to the host, and the catalogue has no host_link_bytes_per_s for "
                    f"{unknown}; take another accelerator, or leave it out"
                )
            )
        return self._slowest([link or inf for link in links])

    def _copies_per_s(self) -> float:
        """Tokens of KV that are copied within the devices' memory in a second: each is read and written."""
        return self._slowest([device.memory_bytes_per_s / 2 for device in self._devices()])

    def _slowest(self, bytes_per_s: list[float]) -> float:
        """Tokens in a second where each stage's devices move their part at a rate of their own, all at once."""
        return min(
            (rate / size for rate, size in zip(bytes_per_s, self._parts, strict=True) if size),
            default=inf,
        )

    def _devices(self) -> list[Accelerator]:
        """What each stage runs on."""
        return [self._plan.accelerator_of(stage, self._accelerator) for stage in range(self._plan.num_stages)]

    def _problem(self, message: str) -> Problem:
        return Problem(f"fleet pool '{self._pool.name}'", message)

    def size_in_words(self) -> str:
        """How the size comes about. Pure query."""
        capacity = self.capacity
        if capacity.given:
            return f"{self.num_tokens:,} tokens, set by num_kv_tokens"
        if capacity.layout:
            return f"{capacity.tightest.in_words()} = {capacity.num_blocks:,} blocks"
        return f"{capacity.tightest.in_words()} = {capacity.num_tokens:,} tokens"

    def layout_in_words(self) -> str:
        """The groups of layers and what fits; "" where every layer keeps all. Pure query."""
        capacity, layout = self.capacity, self.capacity.layout
        if layout is None:
            return ""
        most = layout.concurrency(capacity.num_blocks, self.max_model_len)
        return (
            f"{capacity.num_blocks:,} blocks for {layout.in_words()}; {most:.2f} sequences of {self.max_model_len:,} "
            "tokens a replica"
        )
