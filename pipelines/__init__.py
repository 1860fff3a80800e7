"""Beam graphs over `lpr_core`: from image URIs to Parquet tables with reads and metrics."""
