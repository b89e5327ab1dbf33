"""Train CSENet: `./run.sh` with everything found by itself, or `python train.py --help`."""

import contextlib
import logging
import sys

from dataset.layouts import DatasetError
from networks import CSENet
from utils.checkpoint.loading import CheckpointError
from utils.distributed import print_from_main, stop_processes
from utils.training.config import parse_config
from utils.training.loop import train
from utils.training.setup import BuildNetwork
from utils.training.stopping import TrainingDivergedError, TrainingStoppedError


def main(arguments: list[str] | None = None, *, build_network: BuildNetwork = CSENet) -> int:
    """Run the training; return the exit status."""
    logging.basicConfig(format="%(message)s")
    try:
        config = parse_config(arguments)
        train(config, build_network=build_network)
    except TrainingStoppedError as event:
        with contextlib.suppress(OSError):  # Ctrl-C also ends what the output is piped into
            print_from_main(f"{event}; continue with --resume auto")
        return event.exit_status
    except (CheckpointError, DatasetError, TrainingDivergedError, ValueError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        stop_processes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
