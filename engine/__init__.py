"""Face matching, pure: values and functions. No network, no asyncio, no wall clock, no environment."""
