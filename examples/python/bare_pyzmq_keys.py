"""pyzmq with keys: prints three messages. `bare_pyzmq_keys.py tcp://HOST:5570 ann.key_secret ami.key`"""

import sys

import zmq
from zmq.auth import load_certificate

socket = zmq.Context.instance().socket(zmq.SUB)
socket.curve_publickey, socket.curve_secretkey = load_certificate(sys.argv[2])
socket.curve_serverkey, _ = load_certificate(sys.argv[3])
socket.connect(sys.argv[1])
socket.subscribe("")
for topic, header, *buffers in (socket.recv_multipart() for _ in range(3)):
    print(topic.decode(), header.decode(), [len(b) for b in buffers])
