"""Results of NVIDIA's trtexec, read from the files that it exports.

switches   which of its switches a measurement was taken with, and what that makes it
times      --exportTimes
profile    --exportProfile
record     imports/NAME.json: all of it, validated and labelled, for the report
"""
