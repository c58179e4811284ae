// libcurl, loaded when it is first used: it brings thirty libraries, whose relocation would cost every other command 10
// ms at its start. Defines those functions of libcurl that http.cpp calls, and forwards each; http.cpp sees no
// difference. Without the library they fail as libcurl itself does when it cannot be started.
#include <curl/curl.h>

#include <cstdarg>

#include <dlfcn.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo

static void *libcurl() {
    static void *const library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL); // for the life of the process
    return library;
}

template <class Function> static Function *late(const char *name) {
    return libcurl() ? reinterpret_cast<Function *>(::dlsym(libcurl(), name)) : nullptr;
}

// One lookup for each function; `otherwise` is what it answers without libcurl.
#define CVMIN_FORWARD(function, otherwise, ...)                                                                        \
    static auto *const real = late<decltype(function)>(#function);                                                     \
    return real ? real(__VA_ARGS__) : otherwise

extern "C" {

CURLcode curl_global_init(long flags) {
    CVMIN_FORWARD(curl_global_init, CURLE_FAILED_INIT, flags);
}
CURL *curl_easy_init() {
    CVMIN_FORWARD(curl_easy_init, nullptr);
}
void curl_easy_cleanup(CURL *easy) {
    CVMIN_FORWARD(curl_easy_cleanup, void(), easy);
}
CURLcode curl_easy_perform(CURL *easy) {
    CVMIN_FORWARD(curl_easy_perform, CURLE_FAILED_INIT, easy);
}
const char *curl_easy_strerror(CURLcode code) {
    CVMIN_FORWARD(curl_easy_strerror, "libcurl is not on this machine", code);
}
CURLHcode curl_easy_header(CURL *easy, const char *name, std::size_t index, unsigned int origin, int request,
                           curl_header **header) {
    CVMIN_FORWARD(curl_easy_header, CURLHE_NOT_BUILT_IN, easy, name, index, origin, request, header);
}
#pragma GCC diagnostic ignored "-Wvarargs" // clang: libcurl's own signatures have an enumeration before the dots
// Whatever an option's value is (long, curl_off_t, a pointer), it comes in one register of 64 bits and goes on as it
// came.
CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...) {
    std::va_list values;
    va_start(values, option);
    void *const value = va_arg(values, void *);
    va_end(values);
    CVMIN_FORWARD(curl_easy_setopt, CURLE_FAILED_INIT, easy, option, value);
}
CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...) {
    std::va_list values;
    va_start(values, info);
    void *const value = va_arg(values, void *);
    va_end(values);
    CVMIN_FORWARD(curl_easy_getinfo, CURLE_FAILED_INIT, easy, info, value);
}
curl_slist *curl_slist_append(curl_slist *list, const char *text) {
    CVMIN_FORWARD(curl_slist_append, nullptr, list, text);
}
void curl_slist_free_all(curl_slist *list) {
    CVMIN_FORWARD(curl_slist_free_all, void(), list);
}
CURLU *curl_url() {
    CVMIN_FORWARD(curl_url, nullptr);
}
void curl_url_cleanup(CURLU *url) {
    CVMIN_FORWARD(curl_url_cleanup, void(), url);
}
CURLUcode curl_url_get(const CURLU *url, CURLUPart part, char **text, unsigned int flags) {
    CVMIN_FORWARD(curl_url_get, CURLUE_LACKS_IDN, url, part, text, flags);
}
CURLUcode curl_url_set(CURLU *url, CURLUPart part, const char *text, unsigned int flags) {
    CVMIN_FORWARD(curl_url_set, CURLUE_LACKS_IDN, url, part, text, flags);
}
void curl_free(void *memory) {
    CVMIN_FORWARD(curl_free, void(), memory);
}

} // extern "C"
