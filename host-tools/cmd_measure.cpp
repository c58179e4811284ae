#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_measure(int, char **) {
    return report_error("measure", Exit::system_failure, "not built yet");
}

} // namespace cvmin
