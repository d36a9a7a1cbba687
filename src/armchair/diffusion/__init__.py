"""Noise levels, denoisers, samplers and losses: functions over callables that know no network."""
