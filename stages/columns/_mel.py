"""The size of a spectrogram in; a Fourier basis and mel bands out, as float64 matrices."""

from dataclasses import dataclass

import numpy as np

FULL_SCALE = 32768.0
DECIBELS_A_STEP = 0.5
FLOOR_DECIBELS = -100.0  # 0 is a sine of full scale; int16 itself ends 96 dB down
MIDDLE = 128.0  # the step of a band's mean where recordings are normalised: 64 dB to either side


@dataclass(frozen=True)
class Mel:
    """`window` and `hop` in samples, `low` and `high` in Hz."""

    rate: int
    samples: int
    window: int
    hop: int
    num_bands: int
    low: float
    high: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, bands, frames): whole windows only."""
        return 1, self.num_bands, 1 + (self.samples - self.window) // self.hop

    @property
    def length(self) -> int:
        """Of the Fourier transform: the window, filled with zeros to a power of 2."""
        return 1 << (self.window - 1).bit_length()

    @property
    def places(self) -> np.ndarray:
        """The bins from `low` to `high`, and one to either side: bands end between bins."""
        spacing = self.rate / self.length
        first, last = int(self.low / spacing), int(np.ceil(self.high / spacing))
        return np.arange(first, min(last, self.length // 2) + 1)

    @property
    def bins(self) -> int:
        return len(self.places)

    def basis(self) -> np.ndarray:
        """[2 · bins, window]: cosines, then sines, under a Hann window; a sine of full scale has power 1 in its bin."""
        time = np.arange(self.window)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * (time + 0.5) / self.window)
        angles = 2 * np.pi * np.outer(self.places, time) / self.length
        return np.asarray(np.concatenate([np.cos(angles), np.sin(angles)]) * hann * (2 / hann.sum() / FULL_SCALE))

    def bands_by_bins(self) -> np.ndarray:
        """[bands, bins]: triangles of equal width in mel, each 1 at its middle (Young et al., The HTK Book, 5.4).

        A band so narrow that no bin lies in it takes the bin that is nearest to its middle.
        """
        corners = to_hz(np.linspace(to_mel(self.low), to_mel(self.high), self.num_bands + 2))
        low, middle, high = (corners[start : start + self.num_bands, None] for start in range(3))
        hz = self.places * (self.rate / self.length)
        weights = np.maximum(np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)), 0.0)
        empty = np.flatnonzero(weights.sum(1) < 1e-6)
        weights[empty, np.abs(hz - middle[empty]).argmin(1)] = 1.0
        return np.asarray(weights)


def to_mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


def to_hz(mel: np.ndarray) -> np.ndarray:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))
