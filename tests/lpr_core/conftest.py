import cv2
import numpy as np
import pytest

FACE = cv2.FONT_HERSHEY_DUPLEX


def draw_line(text: str, height: int, paper: int, ink: int) -> np.ndarray:
    """One line of characters seven tenths as high as the line, each with room around it."""
    scale = cv2.getFontScaleFromHeight(FACE, round(height * 0.7), 1)
    margin = np.full((height, height // 5), paper, np.uint8)
    cells = [margin]
    for character in text:
        (width, tall), _ = cv2.getTextSize(character, FACE, scale, 1)
        cell = np.full((height, width + height // 10), paper, np.uint8)
        at = (height // 20, (height + tall) // 2)
        cv2.putText(cell, character, at, FACE, scale, ink, 1, cv2.LINE_AA)
        cells.append(cell)
    return np.hstack([*cells, margin])


def draw_plate(text: str, dark: bool = True, height: int = 60, second: str = "") -> np.ndarray:
    """A plate of printed characters, `height` pixels a line, in grey."""
    paper, ink = (225, 30) if dark else (40, 230)
    if not second:
        return draw_line(text, height, paper, ink)
    upper, lower = (draw_line(line, height, paper, ink) for line in (text, second))
    upper, lower = upper[: -height // 8], lower[height // 8 :]  # two lines stand close
    width = max(upper.shape[1], lower.shape[1])
    plate = np.full((len(upper) + len(lower), width), paper, np.uint8)
    for top, line in ((0, upper), (len(upper), lower)):
        left = (width - line.shape[1]) // 2
        plate[top : top + len(line), left : left + line.shape[1]] = line
    return plate


def put_plate(scene: np.ndarray, plate: np.ndarray, x: int, y: int, angle: float = 0) -> None:
    """Lay a plate onto a grey scene, its top left corner at (x, y), turned about it (degrees)."""
    matrix = cv2.getRotationMatrix2D((0, 0), -angle, 1)
    matrix[:, 2] = x, y
    size = (scene.shape[1], scene.shape[0])
    cover = cv2.warpAffine(np.full_like(plate, 255), matrix, size)
    laid = cv2.warpAffine(plate, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    np.copyto(scene, laid, where=cover > 127)


@pytest.fixture
def scene() -> np.ndarray:
    """A grey street without a plate: bands of road, car and sky, lamps, a little noise."""
    rows = np.repeat(np.array([170, 120, 70, 95], np.uint8), 150)
    image = np.repeat(rows[:, None], 900, axis=1)
    cv2.rectangle(image, (200, 120), (700, 460), 85, -1)
    for x in (250, 650):
        cv2.circle(image, (x, 300), 35, 150, -1)
    noise = np.random.default_rng(5).normal(0, 3, image.shape)
    return np.clip(cv2.GaussianBlur(image, (5, 5), 0) + noise, 0, 255).astype(np.uint8)
