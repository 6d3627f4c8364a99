"""Reads, describes and converts request traces."""

from llmsim.files.traces.convert import convert_trace
from llmsim.files.traces.formats import FORMATS, Format
from llmsim.files.traces.info import TraceInfo, trace_info
from llmsim.files.traces.read import Trace, read_trace

__all__ = ["FORMATS", "Format", "Trace", "TraceInfo", "convert_trace", "read_trace", "trace_info"]
