"""Colours, once, for the plots and for the page around them; the hues stay apart for colour-blind eyes.

The hues of functions follow Okabe and Ito's set. Vermilion is kept for failures, and a failure also carries a hatch, so
that no meaning hangs on colour alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Theme:
    """One set of colours."""

    name: str
    page: str
    panel: str
    border: str
    text: str
    muted: str
    grid: str
    track: str
    """The ground of a bar that is not full yet."""
    accent: str
    accent_soft: str
    warning: str
    error: str
    hues: tuple[str, ...]
    """One for each function, in the order in which they appeared; then they start over."""

    @property
    def palette(self) -> list[str]:
        """All colours in the order of their numbers: the ground (-2), failures (-1), the hues (from 0)."""
        return [self.panel, self.error, *self.hues]

    @property
    def css(self) -> str:
        """The same colours as CSS custom properties."""
        colours = {name: value for name, value in asdict(self).items() if name not in ("name", "hues")}
        return " ".join(f"--{name.replace('_', '-')}: {value};" for name, value in colours.items())


LIGHT = Theme(
    name="light",
    page="#f4f5f7",
    panel="#ffffff",
    border="#e0e3e8",
    text="#1d2530",
    muted="#5c6773",
    grid="#eceef1",
    track="#e6e9ed",
    accent="#0072b2",
    accent_soft="#8fc1e3",
    warning="#b36b00",
    error="#d55e00",
    hues=("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8a8a2b", "#6a51a3", "#8c6d52"),
)

DARK = Theme(
    name="dark",
    page="#111418",
    panel="#1a1e24",
    border="#2c323a",
    text="#e3e7ec",
    muted="#9aa5b1",
    grid="#272d35",
    track="#303740",
    accent="#4aa8e0",
    accent_soft="#2d5f80",
    warning="#f0b041",
    error="#ff7a3d",
    hues=("#4aa8e0", "#f0b041", "#2fc39b", "#e596c3", "#9bd7f7", "#c6c66a", "#a794ea", "#c9a988"),
)

THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def theme_named(name: str) -> Theme:
    """The theme that a page asked for; any word but ``dark`` means light."""
    return THEMES.get(name, LIGHT)
