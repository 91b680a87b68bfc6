"""The family of executors: each satisfies `mao.executor.Executor` and knows nothing of the others."""
