from __future__ import annotations

import pytest

from nbcluster.dashboard.theme import DARK, LIGHT, Theme, theme_named

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)


def luminance(colour: str) -> float:
    """As the accessibility guidelines define it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def as_seen(colour: str, matrix: list[list[float]]) -> tuple[float, ...]:
    """How a colour looks to an eye that lacks one kind of cone."""
    linear = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
    return tuple(max(0.0, sum(w * c for w, c in zip(row, linear, strict=True))) ** (1 / 2.2) for row in matrix)


# Machado, Oliveira and Fernandes (2009), severity 1.
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]


def test_any_word_but_dark_means_light() -> None:
    assert theme_named("dark") is DARK
    assert theme_named("light") is LIGHT
    assert theme_named("<script>") is LIGHT


@THEMES
def test_text_can_be_read(theme: Theme) -> None:
    assert contrast(theme.text, theme.panel) > 7
    assert contrast(theme.muted, theme.panel) > 4.5
    assert contrast(theme.muted, theme.page) > 4.5


@THEMES
def test_bars_stand_out_from_the_panel(theme: Theme) -> None:
    assert all(contrast(hue, theme.panel) > 1.9 for hue in theme.palette[1:])
    assert contrast(theme.accent, theme.accent_soft) > 1.9


@THEMES
@pytest.mark.parametrize("matrix", [DEUTERANOPIA, PROTANOPIA], ids=["deuteranopia", "protanopia"])
def test_the_first_functions_can_be_told_apart_by_colour_blind_eyes(theme: Theme, matrix: list[list[float]]) -> None:
    seen = [as_seen(hue, matrix) for hue in theme.hues[:5]]
    for i, one in enumerate(seen):
        for other in seen[i + 1 :]:
            assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.12


@THEMES
def test_the_page_gets_every_colour_once(theme: Theme) -> None:
    declarations = [one.strip() for one in theme.css.split(";") if one.strip()]
    assert "--accent-soft: " + theme.accent_soft in declarations
    assert len(declarations) == len({one.split(":")[0] for one in declarations}) == 11
    assert len(LIGHT.hues) == len(DARK.hues)
