"""The decisions, without I/O: values in, values out, time as a number. Imports neither Twisted nor any other room."""
