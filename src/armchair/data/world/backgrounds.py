"""Backgrounds of Emoji World: plain colours and eight painted places, at any size from one integer."""

import numpy as np

PLAIN_RGB = {
    "white": (255, 255, 255),
    "grey": (176, 178, 182),
    "cream": (250, 240, 214),
    "red": (206, 52, 48),
    "orange": (244, 146, 50),
    "yellow": (250, 216, 78),
    "green": (84, 172, 88),
    "blue": (66, 120, 214),
    "purple": (140, 88, 190),
    "pink": (250, 170, 200),
    "black": (22, 22, 26),
}


def background(name: str, size: int, seed: int) -> np.ndarray:
    """(size, size, 3) uint8. The same name and seed give the same place at every size."""
    rng = np.random.default_rng(seed)
    if name in PLAIN_RGB:
        rgb = np.array(PLAIN_RGB[name]) + rng.integers(-6, 7, 3)
        return np.full((size, size, 3), np.clip(rgb, 0, 255), np.uint8)
    return _PAINTERS[name](size, rng)


def _gradient(size: int, top, bottom) -> np.ndarray:
    """(size, size, 3) uint8, from one colour down to another."""
    t = (np.arange(size, dtype=np.float32)[:, None] + 0.5) / size
    rows = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
    return np.repeat(rows[:, None].round().astype(np.uint8), size, axis=1)


def _blob(picture: np.ndarray, x: float, y: float, rx: float, ry: float, rgb, strength: float = 1.0) -> None:
    """An ellipse with a soft edge of about a pixel, painted into the picture; fractions of the frame."""
    size = len(picture)
    x0, x1 = max(0, int((x - rx) * size) - 1), min(size, int((x + rx) * size) + 2)
    y0, y1 = max(0, int((y - ry) * size) - 1), min(size, int((y + ry) * size) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    u = ((np.arange(x0, x1, dtype=np.float32) + 0.5) / size - x) / rx
    v = ((np.arange(y0, y1, dtype=np.float32) + 0.5) / size - y) / ry
    inside = np.clip((1 - np.sqrt(u * u + v[:, None] ** 2)) * min(rx, ry) * size + 0.5, 0, 1)
    inside = inside[..., None] * strength
    part = picture[y0:y1, x0:x1]
    picture[y0:y1, x0:x1] = (part + (np.asarray(rgb, np.float32) - part) * inside + 0.5).astype(np.uint8)


def _ground(picture: np.ndarray, horizon: float, top, bottom, wave: float, rng) -> None:
    """Everything below a gently curved horizon."""
    size = len(picture)
    x = (np.arange(size, dtype=np.float32) + 0.5) / size
    edge = horizon + wave * np.sin(2 * np.pi * (x * rng.uniform(0.6, 1.4) + rng.uniform()))
    y = (np.arange(size, dtype=np.float32) + 0.5) / size
    cover = np.clip((y[:, None] - edge) * size + 0.5, 0, 1)[..., None]
    t = np.clip((y - horizon) / (1 - horizon), 0, 1)[:, None, None]
    colour = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
    picture[:] = (picture + (colour - picture) * cover + 0.5).astype(np.uint8)


def _sky(size: int, rng) -> np.ndarray:
    """Long faint clouds: a sharp one would be a thing of its own."""
    picture = _gradient(size, (98, 172, 238), (206, 232, 250))
    for _ in range(rng.integers(3, 6)):
        x, y, r = rng.uniform(0, 1), rng.uniform(0.05, 0.95), rng.uniform(0.12, 0.25)
        for share in (1.0, 0.8, 0.6):
            _blob(picture, x, y, r * share, 0.16 * r * share, (255, 255, 255), 0.2)
    return picture


def _stars(picture: np.ndarray, rng, count: int, rgb=(255, 250, 225)) -> None:
    for x, y, r in rng.uniform((0, 0, 0.006), (1, 1, 0.014), (count, 3)):
        _blob(picture, x, y, r, r, rgb)


def _night(size: int, rng) -> np.ndarray:
    picture = _gradient(size, (14, 20, 56), (52, 62, 122))
    _stars(picture, rng, 26)
    _ground(picture, rng.uniform(0.84, 0.9), (12, 16, 40), (8, 10, 28), 0.02, rng)
    return picture


def _sea(size: int, rng) -> np.ndarray:
    picture = _gradient(size, (186, 224, 248), (226, 242, 252))
    _ground(picture, rng.uniform(0.34, 0.5), (62, 148, 204), (20, 84, 152), 0.006, rng)
    for _ in range(9):
        x, y, r = rng.uniform((0, 0.56, 0.04), (1, 0.97, 0.1))
        _blob(picture, x, y, r, 0.008, (200, 230, 245), 0.6)
    return picture


def _meadow(size: int, rng) -> np.ndarray:
    picture = _gradient(size, (150, 206, 246), (222, 240, 252))
    _ground(picture, rng.uniform(0.42, 0.56), (140, 200, 92), (84, 158, 60), 0.03, rng)
    for _ in range(14):
        rgb = ((255, 246, 170), (255, 255, 255), (250, 170, 190))[rng.integers(3)]
        _blob(picture, rng.uniform(0, 1), rng.uniform(0.66, 0.98), 0.011, 0.011, rgb)
    return picture


def _snow(size: int, rng) -> np.ndarray:
    picture = _gradient(size, (158, 184, 212), (214, 226, 240))
    _ground(picture, rng.uniform(0.55, 0.7), (246, 250, 255), (226, 236, 248), 0.03, rng)
    _stars(picture, rng, 30, (255, 255, 255))
    return picture


def _desert(size: int, rng) -> np.ndarray:
    picture = _gradient(size, (140, 200, 236), (250, 232, 196))
    horizon = rng.uniform(0.46, 0.56)
    _ground(picture, horizon, (238, 200, 132), (224, 176, 104), 0.04, rng)
    _ground(picture, horizon + 0.18, (230, 186, 114), (210, 158, 86), 0.04, rng)
    return picture


def _space(size: int, rng) -> np.ndarray:
    picture = _gradient(size, (12, 8, 30), (26, 16, 52))
    for _ in range(3):
        rgb = ((96, 40, 120), (30, 60, 130), (120, 40, 80))[rng.integers(3)]
        x, y, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.16, 0.3)
        for share in (1.0, 0.75, 0.5, 0.25):
            _blob(picture, x, y, r * share, r * share * 0.7, rgb, 0.14)
    _stars(picture, rng, 36, (255, 255, 255))
    return picture


def _room(size: int, rng) -> np.ndarray:
    walls = ((236, 222, 200), (206, 222, 226), (226, 212, 224), (214, 226, 204))
    wall = np.array(walls[rng.integers(len(walls))])
    picture = _gradient(size, wall, wall - 10)
    floor = round(rng.uniform(0.66, 0.76) * size)
    picture[floor:] = _gradient(size, (186, 138, 92), (160, 112, 70))[: size - floor]
    picture[floor : floor + max(1, size // 40)] = (250, 246, 238)
    left, top, w, h = rng.uniform(0.06, 0.62), 0.1, 0.28, 0.3
    edge = max(1, round(size * 0.02))
    x0, x1, y0, y1 = round(left * size), round((left + w) * size), round(top * size), round((top + h) * size)
    picture[y0:y1, x0:x1] = (250, 250, 246)
    picture[y0 + edge : y1 - edge, x0 + edge : x1 - edge] = (176, 214, 240)
    middle = (x0 + x1) // 2
    picture[y0:y1, middle : middle + edge] = (250, 250, 246)
    return picture


_PAINTERS = {
    "sky": _sky,
    "night": _night,
    "sea": _sea,
    "meadow": _meadow,
    "snow": _snow,
    "desert": _desert,
    "space": _space,
    "room": _room,
}
