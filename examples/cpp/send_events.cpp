// Any program is a source: sends ten events to `zmq:tcp://127.0.0.1:5590` and waits until each was taken.
//
//   g++ -O2 send_events.cpp -lzmq -o send_events && ./send_events tcp://127.0.0.1:5590

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>
#include <zmq.h>

int main(int argc, char** argv) {
    void* socket = zmq_socket(zmq_ctx_new(), ZMQ_REQ);
    if (argc < 2 || zmq_connect(socket, argv[1]) != 0) {
        std::fprintf(stderr, "usage: send_events tcp://ADDRESS:PORT [EVENTS]\n");
        return 2;
    }
    const int events = argc > 2 ? std::atoi(argv[2]) : 10;
    for (int n = 0; n < events; n++) {
        std::vector<uint16_t> image(4 * 8, static_cast<uint16_t>(n));
        const std::string header = "{\"values\": {\"n\": " + std::to_string(n) +
            ", \"energy\": " + std::to_string(n / 2.0) + "}, \"arrays\": "
            "[{\"name\": \"image\", \"dtype\": \"<u2\", \"shape\": [4, 8]}]}";
        zmq_send(socket, header.data(), header.size(), ZMQ_SNDMORE);
        zmq_send(socket, image.data(), image.size() * sizeof(uint16_t), 0);
        char answer[1024];
        const int size = zmq_recv(socket, answer, sizeof answer, 0);
        if (size < 0 || std::string(answer, size).find("\"ok\":true") == std::string::npos) {
            std::fprintf(stderr, "refused: %.*s\n", size, answer);
            return 1;
        }
    }
    std::printf("taken: %d\n", events);
}
