"""How a Spark table reaches a training script: as files today; another transport is another way to make batches."""
