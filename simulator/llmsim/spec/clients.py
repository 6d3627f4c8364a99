"""Clients: groups of users that ask for different things, at times of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from llmsim.spec.arrivals import (
    BurstArrivals,
    ConstantArrivals,
    DiurnalArrivals,
    GammaArrivals,
    MmppArrivals,
    ModulatedGammaArrivals,
    PoissonArrivals,
)
from llmsim.spec.base import Place, Strict
from llmsim.spec.lengths import Tokens
from llmsim.spec.prefixes import SharedPrefix
from llmsim.spec.sessions import Sessions

ClientArrival = Annotated[
    PoissonArrivals
    | GammaArrivals
    | ConstantArrivals
    | BurstArrivals
    | DiurnalArrivals
    | MmppArrivals
    | ModulatedGammaArrivals,
    Field(discriminator="kind"),
]


class Client(Strict):
    """Users of one kind: an application, a tenant, a class of service."""

    name: str = Field(
        pattern=r"^[\w.+-]+$", max_length=80, description="names it; its own random numbers go by it"
    )
    share: float | None = Field(
        None, gt=0, le=1e12, description="its share of `arrival`'s requests, in proportion to the others'"
    )
    arrival: ClientArrival | None = Field(None, description="when its requests come, instead of a share")
    input_tokens: Tokens | None = Field(None, description="prompt length; null is the workload's")
    output_tokens: Tokens | None = Field(None, description="tokens generated; null is the workload's")
    shared_prefix: SharedPrefix | None = Field(
        None, description="tokens at the start of its prompts; null is none"
    )
    sessions: Sessions | None = Field(None, description="its requests that follow one another; null is none")
    slo_class: str = Field("default", min_length=1, description="its class in `slo.classes` and in reports")
    tenant: str | None = Field(None, description="whose it is, for fair schedulers; null is its name")
    priority: int = Field(
        0,
        ge=-(10**9),
        le=10**9,
        description="for schedulers with priorities: less is more urgent, as in vLLM",
    )
    model: str | None = Field(None, min_length=1, description="the model it asks for; null is the scenario's")

    @model_validator(mode="after")
    def _comes_somehow(self) -> Client:
        if (self.share is None) == (self.arrival is None):
            raise ValueError(
                "needs a `share` of the workload's arrivals or an `arrival` of its own, one of the two"
            )
        if isinstance(self.arrival, BurstArrivals) and self.arrival.size is None:
            raise ValueError("all at once has no end beside others; give the burst a `size` and `every_s`")
        return self


class ClientFile(Strict):
    """Clients of a file in ServeGen's form: each with its rate, gaps and lengths over a day."""

    file: str = Field(min_length=1, description="a JSON file of client populations")
    category: str | None = Field(None, description="which of the file's workloads; null where it has one")
    start_s: float = Field(
        0.0,
        ge=0,
        le=1e9,
        description="time of the file's day at which the run begins",
        json_schema_extra={"unit": "s"},
    )
    num_clients: Annotated[int, Field(ge=1)] | None = Field(
        None, description="only so many, those with most requests first; null is all"
    )


def client_conflicts(
    clients: Sequence[Client], kind: str, has_lengths: tuple[bool, bool]
) -> Iterator[tuple[Place, str]]:
    """(place, message) of each mistake about ``clients`` together.

    Args:
        clients: All of them.
        kind: Of the workload's arrivals.
        has_lengths: Whether the workload says input_tokens and output_tokens for all.
    """
    names = [client.name for client in clients]
    for index, client in enumerate(clients):
        if names.count(client.name) > 1:
            yield ("clients", index, "name"), f"{names.count(client.name)} clients are called '{client.name}'"
        for key, given in zip(("input_tokens", "output_tokens"), has_lengths, strict=True):
            if getattr(client, key) is None and not given:
                yield ("clients", index, key), "missing here, and beside `clients` for all of them"
        if kind == "clients" and client.arrival is None:
            yield ("clients", index, "share"), "there is no `arrival` beside `clients` to have a share of"
        if kind != "clients" and client.arrival is not None:
            yield (
                ("clients", index, "arrival"),
                "comes on top of `arrival` beside `clients`; write a share, or remove that one",
            )
