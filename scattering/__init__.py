"""Detector frames in, windows out: detectors, formats, preparation, data sets, the simulator."""
