"""The parts that come with diffkit. A plugin like any other: it uses the public API and the same hook."""
