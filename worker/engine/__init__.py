"""The run engine: claims runs, executes and replays their steps, survives the loss of workers."""
