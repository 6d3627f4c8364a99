"""Laws of attention spans, for random spans, contexts and chunks."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from llmsim.spec.attention import FOREVER, FULL, Span

contexts = st.integers(0, 400)
chunks = st.integers(1, 300)
sized = st.builds(Span, st.sampled_from(["window", "chunk", "topk"]), st.integers(2, 120))
spans = st.one_of(st.just(FULL), sized)


@given(spans, chunks, contexts)
def test_pairs_are_the_sum_of_reads(span: Span, new_tokens: int, cached: int) -> None:
    """A prefill chunk makes the query-key pairs its tokens would make if decoded one by one."""
    one_by_one = sum(span.read(context) for context in range(cached, cached + new_tokens))

    assert one_by_one == span.pairs(new_tokens, cached)


@given(spans, st.integers(1, 60), st.integers(1, 60), contexts)
def test_pairs_add_up_over_chunks(span: Span, first: int, second: int, cached: int) -> None:
    """Cutting a prefill into chunks changes no pair."""
    cut = span.pairs(first, cached) + span.pairs(second, cached + first)

    assert span.pairs(first + second, cached) == cut


@given(spans, contexts)
def test_slope_is_the_growth_of_read(span: Span, context: int) -> None:
    """``slope`` is what the next decoded token reads more than this one."""
    assert span.read(context + 1) - span.read(context) == span.slope(context)


@given(spans, contexts)
def test_reads_are_linear_while_steady(span: Span, context: int) -> None:
    """Over ``steady_for`` decoded tokens, reads grow along one line."""
    steps = min(span.steady_for(context), 500)
    line = [span.read(context) + i * span.slope(context) for i in range(steps + 1)]

    assert line == [span.read(context + i) for i in range(steps + 1)]


@given(spans, contexts)
def test_steadiness_ends_no_sooner_than_it_must(span: Span, context: int) -> None:
    """When ``steady_for`` ends, the slope does change."""
    steps = span.steady_for(context)
    assume(steps != FOREVER)

    assert span.slope(context + steps) != span.slope(context)


@given(spans, contexts)
def test_no_span_reads_more_than_full_attention(span: Span, context: int) -> None:
    """Every span reads at least the token itself and at most everything before it."""
    assert 1 <= span.read(context) <= FULL.read(context)


@given(spans, chunks, contexts)
def test_a_chunk_touches_what_its_queries_read(span: Span, new_tokens: int, cached: int) -> None:
    """A prefill chunk touches at least what its largest query reads, and no more than there is."""
    largest = max(span.read(context) for context in range(cached, cached + new_tokens))

    assert largest <= span.prefill_read(new_tokens, cached) <= cached + new_tokens
