"""A pool of Beam's Python workers that listens on one address, HOST:PORT; Beam's own takes all.

So a machine can hold a pool for each of its task managers. These number their workers alike, and a
pool that two of them share stops the worker of one when the other asks for it.
"""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


def main(address: str) -> None:
    """Serve until killed; an address that is taken raises RuntimeError."""
    logging.basicConfig(level=logging.INFO)
    server = grpc.server(ThreadPoolExecutor(), options=[("grpc.so_reuseport", 0)])
    server.add_insecure_port(address)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(
        BeamFnExternalWorkerPoolServicer(use_process=True, data_buffer_time_limit_ms=-1), server
    )
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
