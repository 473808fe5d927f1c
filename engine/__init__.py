"""Face matching as pure functions over values: no network access, no asyncio, no wall clock, no environment."""
