"""The evidence: which block makes a potential smooth, which cheap number tells, and whether picks by it are stable.

    python -m studies [--out study] [--workers 2]            all of it; the same command goes on where it was stopped

`variants` says what is trained and `training` how, `measuring` puts the same instruments on every run; `ladder`,
`factorial`, `correlation` and `value` each turn what was measured into facts (JSON), a figure and a text, and
`evidence` joins these to docs/evidence.md.
"""
