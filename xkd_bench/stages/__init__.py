"""The stages of a run, each content-addressed: its key holds just what it depends on, so that runs share what they can.

`teacher` → `student` → `scores`; `context` holds what all of them need. No stage reaches back.
"""
