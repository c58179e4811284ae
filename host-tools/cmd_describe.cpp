#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_describe(int, char **) {
    return report_error("describe", Exit::system_failure, "not built yet");
}

} // namespace cvmin
