"""The TypeScript types of the lab extension are those of the Python records."""

from __future__ import annotations

from nbcluster.snapshot import ClusterView
from tools import generate_types


def test_the_checked_in_typescript_types_are_up_to_date() -> None:
    checked_in = generate_types.TARGET.read_text(encoding="utf-8")
    assert checked_in == generate_types.generate(), "run `python -m tools.generate_types` and commit its result"


def test_every_field_of_a_cluster_has_a_type() -> None:
    text = generate_types.generate()
    for field in ClusterView.__struct_fields__:
        assert f"  readonly {field}: " in text
    assert "readonly name: number | string;" in text
    assert "readonly memory_limit: number | null;" in text


def test_what_has_a_default_may_be_left_out_of_a_request_only() -> None:
    text = generate_types.generate()
    assert "  readonly n: number;" in text
    assert "  readonly n_workers?: number | null;" in text
    assert "  readonly adaptive: IAdaptiveView | null;" in text
