"""What reading a plate is: decode, detect, rectify, segment, recognise, score."""

from lpr_core.bundle import Bundle, BundleError
from lpr_core.decode import DecodeError, DecodeLimits, DecodeReason, Picture, decode
from lpr_core.detect import ContourDetector, PlateDetection, WholeImageDetector
from lpr_core.geometry import Box, Quad
from lpr_core.heatmap import HeatmapDetector
from lpr_core.plate_reader import PlateRead, PlateReader, PlateStatus, ReaderConfig
from lpr_core.recognize import CharacterRead, CharacterRecognizer, TextRead
from lpr_core.rectify import DegenerateQuadError, PlateCrop, rectify
from lpr_core.segment import CharacterBox, CharacterSegmenter
from lpr_core.sequence import SequenceRecognizer

__all__ = [
    "Box",
    "Bundle",
    "BundleError",
    "CharacterBox",
    "CharacterRead",
    "CharacterRecognizer",
    "CharacterSegmenter",
    "ContourDetector",
    "DecodeError",
    "DecodeLimits",
    "DecodeReason",
    "DegenerateQuadError",
    "HeatmapDetector",
    "Picture",
    "PlateCrop",
    "PlateDetection",
    "PlateRead",
    "PlateReader",
    "PlateStatus",
    "Quad",
    "ReaderConfig",
    "SequenceRecognizer",
    "TextRead",
    "WholeImageDetector",
    "decode",
    "rectify",
]
