// Compiles compute shaders with whatever Vulkan driver the loader finds, and prints what it says of them
// (VK_KHR_pipeline_executable_properties). Nothing is run.
//
//   vkcomp [--code NAME] (BINDINGS MODULE.spv)…
//
// A module has BINDINGS storage buffers in set 0 and one uniform buffer in set 1. For each executable that the driver makes
// of it, one line: the module's path, `subgroup=N`, and its statistics as `name=value`, with tabs between them. With --code also each
// of its texts whose name contains NAME, after a line `=== name` and before a line `=== end`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

#define MOST 64
#define CHECK(call)                                              \
  do {                                                           \
    VkResult result = (call);                                    \
    if (result != VK_SUCCESS) {                                  \
      fprintf(stderr, "%s gives %d\n", #call, (int)result);      \
      exit(1);                                                   \
    }                                                            \
  } while (0)

static VkDevice device;
static PFN_vkGetPipelineExecutablePropertiesKHR executablesOf;
static PFN_vkGetPipelineExecutableStatisticsKHR statisticsOf;
static PFN_vkGetPipelineExecutableInternalRepresentationsKHR textsOf;

static void openDevice(void) {
  VkApplicationInfo application = {VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
  VkInstanceCreateInfo instanceInfo = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
  VkInstance instance;
  CHECK(vkCreateInstance(&instanceInfo, NULL, &instance));
  uint32_t count = 1;
  VkPhysicalDevice physical = VK_NULL_HANDLE;
  vkEnumeratePhysicalDevices(instance, &count, &physical);
  if (count == 0) {
    fprintf(stderr, "the driver finds no device\n");
    exit(1);
  }
  VkPhysicalDeviceProperties properties;
  vkGetPhysicalDeviceProperties(physical, &properties);
  printf("## %s\n", properties.deviceName);
  float priority = 1;
  VkDeviceQueueCreateInfo queue = {
      VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
  const char *extension = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, .pipelineExecutableInfo = VK_TRUE};
  VkDeviceCreateInfo info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &feature, .queueCreateInfoCount = 1,
                             .pQueueCreateInfos = &queue, .enabledExtensionCount = 1,
                             .ppEnabledExtensionNames = &extension};
  CHECK(vkCreateDevice(physical, &info, NULL, &device));
  executablesOf = (void *)vkGetDeviceProcAddr(device, "vkGetPipelineExecutablePropertiesKHR");
  statisticsOf = (void *)vkGetDeviceProcAddr(device, "vkGetPipelineExecutableStatisticsKHR");
  textsOf = (void *)vkGetDeviceProcAddr(device, "vkGetPipelineExecutableInternalRepresentationsKHR");
}

static VkDescriptorSetLayout setOf(int count, VkDescriptorType type) {
  VkDescriptorSetLayoutBinding bindings[MOST];
  for (int i = 0; i < count; i++)
    bindings[i] = (VkDescriptorSetLayoutBinding){i, type, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL};
  VkDescriptorSetLayoutCreateInfo info = {
      VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = count, .pBindings = bindings};
  VkDescriptorSetLayout layout;
  CHECK(vkCreateDescriptorSetLayout(device, &info, NULL, &layout));
  return layout;
}

static VkShaderModule moduleOf(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    exit(1);
  }
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  uint32_t *words = malloc(size);
  if (fread(words, 1, size, file) != (size_t)size) exit(1);
  fclose(file);
  VkShaderModuleCreateInfo info = {VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = size, .pCode = words};
  VkShaderModule module;
  CHECK(vkCreateShaderModule(device, &info, NULL, &module));
  free(words);
  return module;
}

static void printStatistics(const VkPipelineExecutableInfoKHR *which) {
  uint32_t count = MOST;
  VkPipelineExecutableStatisticKHR all[MOST];
  for (int i = 0; i < MOST; i++)
    all[i] = (VkPipelineExecutableStatisticKHR){VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
  statisticsOf(device, which, &count, all);
  for (uint32_t i = 0; i < count; i++)
    if (all[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR)
      printf("\t%s=%g", all[i].name, all[i].value.f64);
    else
      printf("\t%s=%llu", all[i].name, (unsigned long long)all[i].value.u64);
  printf("\n");
}

static void printTexts(const VkPipelineExecutableInfoKHR *which, const char *wanted) {
  uint32_t count = MOST;
  VkPipelineExecutableInternalRepresentationKHR all[MOST];
  for (int i = 0; i < MOST; i++)
    all[i] = (VkPipelineExecutableInternalRepresentationKHR){
        VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR};
  textsOf(device, which, &count, all); // their sizes
  for (uint32_t i = 0; i < count; i++) all[i].pData = malloc(all[i].dataSize + 1);
  textsOf(device, which, &count, all);
  for (uint32_t i = 0; i < count; i++) {
    if (strstr(all[i].name, wanted))
      printf("=== %s\n%.*s\n=== end\n", all[i].name, (int)all[i].dataSize, (char *)all[i].pData);
    free(all[i].pData);
  }
}

static void compile(int bindings, const char *path, const char *code) {
  VkDescriptorSetLayout sets[2] = {setOf(bindings, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER),
                                   setOf(1, VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC)};
  VkPipelineLayoutCreateInfo layoutInfo = {
      VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 2, .pSetLayouts = sets};
  VkPipelineLayout layout;
  CHECK(vkCreatePipelineLayout(device, &layoutInfo, NULL, &layout));
  VkComputePipelineCreateInfo info = {
      VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
               (code ? VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR : 0),
      .stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = moduleOf(path), .pName = "main"},
      .layout = layout};
  VkPipeline pipeline;
  CHECK(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline));
  VkPipelineInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
  uint32_t count = MOST;
  VkPipelineExecutablePropertiesKHR executables[MOST];
  for (int i = 0; i < MOST; i++)
    executables[i] = (VkPipelineExecutablePropertiesKHR){VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
  executablesOf(device, &which, &count, executables);
  for (uint32_t i = 0; i < count; i++) {
    VkPipelineExecutableInfoKHR executable = {
        VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = i};
    printf("%s\tsubgroup=%u", path, executables[i].subgroupSize);
    printStatistics(&executable);
    if (code) printTexts(&executable, code);
  }
  fflush(stdout);
  vkDestroyPipeline(device, pipeline, NULL);
  vkDestroyShaderModule(device, info.stage.module, NULL);
}

int main(int count, char **arguments) {
  const char *code = NULL;
  int i = 1;
  if (count > 2 && strcmp(arguments[1], "--code") == 0) {
    code = arguments[2];
    i = 3;
  }
  openDevice();
  for (; i + 1 < count; i += 2) compile(atoi(arguments[i]), arguments[i + 1], code);
  return 0;
}
