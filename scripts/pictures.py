"""Make small pictures for ``docs/images`` of the screenshots of the browser tests; ``make screenshots`` runs it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / ".work" / "screenshots"
IMAGES = ROOT / "docs" / "images"
#: The screenshots, the names of the pictures, and the pixels from above that they show.
PICTURES = {"form_gate": ("form", 1000), "log": ("log", 660), "manifest": ("version", 930), "model": ("model", 730)}
COLOURS = 64


def shrink(screenshot: Path, picture: Path, height: int) -> None:
    """Write the upper part of a screenshot with few colours."""
    with Image.open(screenshot) as image:
        part = image.convert("RGB").crop((0, 0, image.width, min(image.height, height)))
        part.quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, (picture, height) in PICTURES.items():
        shrink(SCREENSHOTS / f"{name}.png", IMAGES / f"{picture}.png", height)
        print(f"docs/images/{picture}.png: {(IMAGES / f'{picture}.png').stat().st_size // 1024} KiB")
